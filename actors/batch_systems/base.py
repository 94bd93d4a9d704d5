"""
The contract of a batch system: text in, text out. It never runs anything itself.

The submitter runs what a batch system writes through a host, and hands the completed commands
back: exit code and both outputs. Whatever the batch system is, the job itself runs under the same
shim (`shim.sh`), so the run-once latch and the exit code are found in the same place on every host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from jobwire.actors.hosts.base import Completed
from jobwire.schemas.specs import Resources

RunState = Literal["absent", "waiting", "running", "ended", "gone", "burned"]
"""
`absent`: never started. `waiting`: the batch system has it, in its queue. `running`: its process
is there.
`ended`: the exit code is known. `gone`: it started, its process is not there any more, and it left
no exit code. `burned`: its latch was taken by a worker, so it can never start.
"""


ALIVE: Final = frozenset({"waiting", "running"})
"""The states of an attempt that has not ended yet."""


class Launch(Struct, frozen=True, kw_only=True):
    """One attempt as a batch system must know it; all paths are absolute and on the host."""

    run: str
    """Names the attempt everywhere: `<job id>.<attempt>`."""
    shim: str
    control: str
    work: str
    stdout: str
    stderr: str
    argv: Sequence[str]
    resources: Resources
    grace_s: float
    file_bytes: int
    open_files: int
    native: str | None = None
    """The batch system's own id, once it is known."""


class RunStatus(Struct, frozen=True, kw_only=True):
    """What is found of one attempt."""

    state: RunState
    pid: int | None = None
    """Of the shim, which outlives the job's own process."""
    started: int | None = None
    """Its start in clock ticks after boot: tells it from a later process with the same id."""
    exit_code: int | None = None
    signal: str | None = None
    cause: str | None = None
    """Why the shim or a worker ended it, or could not start it, where that was so."""
    detail: str | None = None
    native: str | None = None
    """The batch system's own id, where it has one."""


class BatchSystem(Protocol):
    """How to start, look up and end an attempt; every verb is pure."""

    name: str
    has_queue: bool
    """
    Whether attempts wait in a queue of its own. Then it takes as many as there are, and the end of
    an attempt shows when it is asked; else an attempt starts at once, and a process shows its end.
    """

    def submit_argv(self, launch: Launch) -> list[str]:
        """Return the command that starts an attempt, once, however often it is run."""

    def submit_stdin(self, launch: Launch, environment: Mapping[str, str]) -> bytes:
        """Return what that command reads: the environment, which must not stand in an argument."""

    def parse_submitted(self, done: Completed) -> RunStatus:
        """
        Read what became of it; one that was refused is `absent`, with the reason as its detail.

        Raises:
            Unavailable: that cannot be told; the attempt may have been started.

        """

    def status_argvs(self, launches: Sequence[Launch]) -> list[list[str]]:
        """Return the commands that look attempts up, as few as possible, to be run in order."""

    def parse_statuses(
        self, dones: Sequence[Completed], launches: Sequence[Launch]
    ) -> dict[str, RunStatus]:
        """Read what they found: the attempts that they know, by `run`."""

    def cancel_argvs(self, launch: Launch, cause: str) -> list[list[str]]:
        """Return the commands that end an attempt, or keep it from ever starting, in order."""

    def parse_cancelled(self, dones: Sequence[Completed]) -> RunStatus | None:
        """
        Read what is found of the attempt after them.

        None: they only asked for its end; it is looked up until nothing of it is alive.

        Raises:
            Unavailable: that cannot be told.

        """
