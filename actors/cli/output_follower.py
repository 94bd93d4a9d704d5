"""Pours what a job writes out here, byte for byte and as it comes, attempt after attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from jobwire.actors.cli.job_progress import JobProgress
from jobwire.actors.client import Client
from jobwire.actors.runtime.backoff import Backoff
from jobwire.schemas.errors import NotFound

Write = Callable[[bytes], Awaitable[None]]

#: Pauses between two looks at a file that is not there yet, or has come to its present end.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


async def pour(
    jobwire: Client,
    job: str,
    path: str,
    course: JobProgress,
    write: Write,
    *,
    attempt: int = 1,
    start: int = 0,
    only: bool = False,
) -> None:
    """
    Write a file of a job out until the job has ended; the course must be followed meanwhile.

    Args:
        jobwire: where the job is.
        job: its id.
        path: the file.
        course: the course of the job.
        write: takes the bytes.
        attempt: the one to begin with; those that follow are written after it.
        start: the first byte, of the first attempt.
        only: end with the first attempt.

    """
    while True:
        await _pour_attempt(jobwire, job, path, course, write, attempt, start)
        if only or course.attempt <= attempt:
            return
        attempt, start = attempt + 1, 0


async def _pour_attempt(  # noqa: PLR0917 - what `pour` was given
    jobwire: Client,
    job: str,
    path: str,
    course: JobProgress,
    write: Write,
    attempt: int,
    start: int,
) -> None:
    place, backoff = start, Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
    while True:
        while not (course.has_started(attempt) or course.is_over(attempt)):
            await course.change()
        # Asked before the file is read: what was written up to now is in what is read then.
        is_last = course.is_over(attempt)
        before = place
        try:
            async for chunk in jobwire.read_file(
                job, path, attempt=attempt, start=place, follow=not is_last
            ):
                place += len(chunk)
                await write(chunk)
        except NotFound:
            pass  # not made yet, or never: whether there will be more is for the course to say
        if is_last:
            return
        if place > before:
            backoff.reset()
        if not course.is_over(attempt):
            await course.change(backoff.next_s())
