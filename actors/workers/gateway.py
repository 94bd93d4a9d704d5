"""
The contract between a worker and the jobs: is this command still awaited, and what happened.

A worker answers a command only with events. The id of each is made of the attempt, the event and a
counter, so that a command that is carried out twice, by whomever, reports the same event once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import NamedTuple, Protocol

from jobwire.schemas.commands import Command
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Job
from jobwire.schemas.reports import Report
from jobwire.schemas.specs import Spec


class Assignment(NamedTuple):
    """A command that is awaited, the job as it was read, and what the job is asked to be."""

    command: Command
    job: Job
    spec: Spec


class WorkerGateway(Protocol):
    """What the workers of one process may ask and say."""

    async def assignment(self, command: Command) -> Assignment | None:
        """Read the job of a command; None: the command is not awaited, or not yet, so drop it."""

    def recall(self, queue: str) -> AsyncGenerator[Command, None]:
        """
        Yield the commands of a queue that are awaited now: what an earlier process had taken.

        What runs comes first, so that it is found again before anything starts in its place.
        """

    async def job(self, command: Command) -> Job | None:
        """Read the job of a command as it is now."""

    async def suspected_at(self, job: Job) -> datetime:
        """Return the moment from which on nothing has been known of a job."""

    async def is_awaited(self, command: Command) -> bool:
        """Return whether a command is awaited still; a long piece of work asks now and then."""

    async def intend(self, command: Command, report: Report) -> bool:
        """
        Announce a step and wait until that is settled.

        Returns:
            Whether the step may be done: the announcement stands, and this very command is
            awaited still. If not, something else was decided meanwhile.

        """

    async def report(self, job: JobId, attempt: int, report: Report, counter: int = 0) -> None:
        """
        Report what happened; return when it is safe, however long that takes.

        Args:
            job: whose it is.
            attempt: the attempt that it happened to.
            report: what happened; the same for every repetition.
            counter: tells reports of the same event apart; in an answer to `suspect` its seq.

        """

    async def suspect(self, job: Job, detail: str) -> None:
        """Report that nothing is known of a job that should be there; it shows as UNKNOWN."""

    async def lose(self, job: Job, detail: str) -> None:
        """Give a job up whose fate cannot be found out."""

    def token(self, job: Job) -> str:
        """Return the job's own token, for the job itself."""
