"""Transfers: everything that one command brings in or out, and how far it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from jobwire.actors.filesystems.base import FileInfo, FileLocation
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.stager.names import Names
from jobwire.actors.stager.plan import Bounds, Copy, Line, Pattern, base_of, check, copies_of
from jobwire.actors.stager.transfer import copy
from jobwire.schemas.errors import JobwireError, NotFound, Unavailable
from jobwire.schemas.paths import is_pattern
from jobwire.schemas.reports import Collected, CopiedFile, Progress, Staged

_log = structlog.get_logger()

Result = TypeVar("Result")

#: Problems that a report names one by one, the first.
_MOST_PROBLEMS = 5


class TransferSet:
    """Copies the files of one command; a repetition of it begins anew and replaces them."""

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        work: FileLocation,
        bounds: Bounds,
        pauses_s: Sequence[float],
        tag: str,
    ) -> None:
        """
        Prepare.

        Args:
            lines: the staging list.
            work: the job's directory.
            bounds: what may be copied.
            pauses_s: before each further try of what may go well later, such as no space.
            tag: names unfinished files, so that a repetition finds them.

        """
        self.files = 0
        self.bytes = 0
        self.total_bytes = 0
        self.problems: list[str] = []
        """What could not be copied, and why; one sentence for each."""
        self._names: Names[CopiedFile] = Names()
        self._lines = lines
        self._work = work
        self._bounds = bounds
        self._pauses_s = pauses_s
        self._tag = tag

    async def bring_in(self) -> None:
        """Fill the job's directory, up to the first problem."""
        await self._noting("the job's directory", self._clear)
        await self._run(to_the_end=False)

    async def bring_out(self) -> None:
        """Copy what can be copied; say in `problems` what could not be."""
        await self._run(to_the_end=True)

    async def _clear(self) -> None:
        """Make the directory anew: nothing of the job runs, so it holds what a crash has left."""
        await self._work.files.remove(self._work.path)
        await self._work.files.make_directory(self._work.path)

    async def _run(self, *, to_the_end: bool) -> None:
        copies = await self._plan(to_the_end=to_the_end)
        try:
            self.total_bytes = await asyncio.to_thread(check, copies, self._bounds)
        except JobwireError as error:
            self._note(error.detail)
            return
        for each in copies:
            if self.problems and not to_the_end:
                return
            await self._noting(each.line.label, lambda each=each: self._carry(each))  # type: ignore[misc]

    def staged(self) -> Staged:
        """Return the report that everything has been brought in."""
        names = self._names
        return Staged(
            files=self.files, bytes=self.bytes, copied=tuple(names.named), copied_more=names.more
        )

    def collected(self) -> Collected:
        """Return what was brought out, for the report of the attempt's end."""
        names = self._names
        return Collected(
            files=self.files, bytes=self.bytes, copied=tuple(names.named), copied_more=names.more
        )

    def progress(self, stage: str) -> Progress:
        """Return how far it has come."""
        return Progress(
            stage=stage, files=self.files, bytes=self.bytes, total_bytes=self.total_bytes
        )

    def said_problems(self) -> str:
        """Describe in one text what could not be copied."""
        more = len(self.problems) - _MOST_PROBLEMS
        rest = [f"and {more} more"] if more > 0 else []
        return "; ".join([*(each[:600] for each in self.problems[:_MOST_PROBLEMS]), *rest])

    async def _plan(self, *, to_the_end: bool) -> list[Copy]:
        """Return all copies, or the first of them: one more than there may be, for `check`."""
        copies: list[Copy] = []
        for line in self._lines:
            room = self._bounds.files - len(copies)
            if room < 0 or (self.problems and not to_the_end):
                break
            note = self._noter(line.label) if to_the_end else None
            there = await self._noting(
                line.label,
                lambda line=line, room=room, note=note: _there(line, room, note),  # type: ignore[misc]
            )
            if there is not None:
                copies += there
        return copies

    async def _noting(self, label: str, call: Callable[[], Awaitable[Result]]) -> Result | None:
        """Do something, patiently; what goes wrong for good is a problem."""
        for pause_s in (*self._pauses_s, None):
            try:
                return await call()
            except JobwireError as error:
                if isinstance(error, Unavailable) and pause_s is not None:
                    _log.info("copy_waits", path=label, error=error.detail, pause_s=pause_s)
                    await asyncio.sleep(pause_s)
                    continue
                self._note(f"{label!r}: {error.detail}")
                break
        return None

    async def _carry(self, each: Copy) -> None:
        line = each.line
        if each.is_directory:
            await line.target.files.make_directory(each.target)
            return
        failpoint("stager.before_copy")
        before = self.bytes
        try:
            copied = await copy(
                FileLocation(line.source.files, each.source),
                FileLocation(line.target.files, each.target),
                limit=min(self._bounds.file_bytes, self._bounds.bytes - before),
                sha256=line.sha256,
                tag=self._tag,
                moved=self._moved,
            )
        except BaseException:
            self.bytes = before
            raise
        self.files += 1
        is_inside = each.target.startswith(f"{self._work.path}/")
        path = self._shortened(each.target if is_inside else each.source)
        self._names.add(CopiedFile(path=path, size=copied.size, sha256=copied.sha256))
        failpoint("stager.after_copy")

    def _note(self, problem: str) -> None:
        self.problems.append(self._shortened(problem))

    def _noter(self, label: str) -> Callable[[str], None]:
        return lambda problem: self._note(f"{label!r}: {problem}")

    def _shortened(self, text: str) -> str:
        """Name files as the job does: relative to its directory."""
        return text.replace(f"{self._work.path}/", "")

    def _moved(self, count: int) -> None:
        self.bytes += count


async def _there(line: Line, most: int, note: Callable[[str], None] | None) -> list[Copy]:
    """Return the copies of a line, at most one more than `most`."""
    found = await _look(line.source, most)
    # In a thread: a line may expand to so many files that the event loop would be blocked.
    return await asyncio.to_thread(copies_of, line, found, note)


async def _look(source: FileLocation, most: int) -> list[FileInfo]:
    """
    Return what is there of a source: itself and what is in it; of a pattern what it covers.

    At most one more than `most` is given.
    """
    files, path = source.files, source.path
    try:
        if is_pattern(path):
            covers = Pattern(path).covers
            return await files.walk(base_of(path), most + 1, wanted=covers)
        itself = await files.stat(path)
        if itself.kind != "directory":
            return [itself]
        return [itself, *await files.walk(path, most)]
    except NotFound:
        return []
