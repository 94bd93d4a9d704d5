"""Follows a file that a job writes and copies its bytes unchanged, attempt after attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from jobwire.actors.cli.job_progress import JobProgress
from jobwire.actors.client import Client
from jobwire.actors.runtime.backoff import Backoff
from jobwire.schemas.errors import NotFound

Write = Callable[[bytes], Awaitable[None]]

#: Shortest and longest pause between two reads of a file that is missing or has no new bytes.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


async def follow_output(
    jobwire: Client,
    job: str,
    path: str,
    progress: JobProgress,
    write: Write,
    *,
    attempt: int = 1,
    start: int = 0,
    only: bool = False,
) -> None:
    """
    Write a file of a job out until the job has ended; `progress` must be followed meanwhile.

    Args:
        jobwire: where the job is.
        job: its id.
        path: the file.
        progress: the progress of the job.
        write: takes the bytes.
        attempt: the one to begin with; those that follow are written after it.
        start: the first byte, of the first attempt.
        only: end with the first attempt.

    """
    while True:
        await _follow_attempt(jobwire, job, path, progress, write, attempt, start)
        if only or progress.attempt <= attempt:
            return
        attempt, start = attempt + 1, 0


async def _follow_attempt(  # noqa: PLR0917 - the arguments of `follow_output`
    jobwire: Client,
    job: str,
    path: str,
    progress: JobProgress,
    write: Write,
    attempt: int,
    start: int,
) -> None:
    place, backoff = start, Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
    while True:
        while not (progress.has_started(attempt) or progress.is_over(attempt)):
            await progress.change()
        # Asked before the file is read: what was written up to now is in what is read then.
        is_last = progress.is_over(attempt)
        before = place
        try:
            async for chunk in jobwire.read_file(
                job, path, attempt=attempt, start=place, follow=not is_last
            ):
                place += len(chunk)
                await write(chunk)
        except NotFound:
            pass  # not made yet, or never: `progress` decides whether there will be more
        if is_last:
            return
        if place > before:
            backoff.reset()
        if not progress.is_over(attempt):
            await progress.change(backoff.next_s())
