"""What a client may ask about the files of a job: list, read, follow, remove."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from msgspec import structs

from jobwire.actors.filesystems.base import FileInfo, FileSystem, Reader
from jobwire.actors.sites import Sandbox, Site, newest_sandbox
from jobwire.schemas.errors import Invalid, NotFound
from jobwire.schemas.jobs import Job

#: Bytes that are read at once; a reader has no more than that in memory.
BLOCK = 262_144
#: Pause between two looks at a file that grows.
_LOOK_S = 0.15

IsOver = Callable[[], Awaitable[bool]]
"""Returns whether the file is complete."""


class SandboxView(NamedTuple):
    """The directory of one attempt of a job: all that a client sees of a sandbox."""

    files: FileSystem
    path: str
    attempt: int

    def place(self, path: str) -> str:
        """
        Return the place of a path in it.

        Raises:
            Invalid: it leads out of the directory, or nowhere.

        """
        is_odd = "\0" in path or any("\ud800" <= sign <= "\udfff" for sign in path)
        if is_odd or any(name in ("", ".", "..") for name in path.split("/")):
            detail = f"{path!r} is not a path in the job's directory"
            raise Invalid(detail, pointer="/path", code="bad_path")
        return f"{self.path}/{path}"


class Files:
    """Serves the sandboxes of all sites."""

    def __init__(self, sites: Mapping[str, Site]) -> None:
        """Reach the sandboxes through the hosts of their sites."""
        self._sites = sites

    async def remove(self, job: Job) -> None:
        """Remove all sandboxes of a job; nothing there is no error."""
        site = self._sites.get(job.plan.site) if job.plan else None
        if site is not None:
            await site.opened_soon()
            await site.host.files.remove(job.id)

    async def box(self, job: Job, attempt: int | None, *, newest_begun: bool = True) -> SandboxView:
        """
        Find the directory of an attempt; it may not be there yet, or not any more.

        Args:
            job: whose it is.
            attempt: which one; default: the newest.
            newest_begun: whether the newest one that has a directory is meant.

        Raises:
            NotFound: the job runs elsewhere, its site is gone, or it has had no such attempt.
            Unavailable: the host of the site is away.

        """
        if job.plan is None:
            detail = "this job runs elsewhere; only jobs with a spec have files here"
            raise NotFound(detail, code="runs_elsewhere")
        site = self._sites.get(job.plan.site)
        if site is None:
            detail = f"the site {job.plan.site!r} that has the job's files is not available"
            raise NotFound(detail, code="no_site")
        if attempt is not None and not job.first_attempt <= attempt <= job.attempt:
            detail = f"the job has only the attempts {job.first_attempt} to {job.attempt}"
            raise NotFound(detail, code="no_attempt")
        await site.opened_soon()
        files = site.host.files
        if attempt is None:
            attempt = (await newest_sandbox(files, job)).attempt if newest_begun else job.attempt
        return SandboxView(files, Sandbox(job.id, attempt).work, attempt)

    async def list(self, box: SandboxView, after: str, limit: int) -> list[FileInfo]:
        """Return what is in a directory, in the order of paths, behind one of them."""
        behind = f"{box.path}/{after}" if after else ""
        try:
            found = await box.files.walk(box.path, limit, after=behind)
        except NotFound:
            return []
        return [
            structs.replace(each, path=each.path.removeprefix(f"{box.path}/")) for each in found
        ]

    async def open(self, box: SandboxView, path: str, start: int = 0) -> Reader:
        """
        Open a file to read from a byte on.

        Raises:
            NotFound: the file does not exist.
            Invalid: it is no regular file, or no path that could name one.

        """
        place = box.place(path)
        with _shown(path):
            return await box.files.open_read(place, start)

    async def follow(
        self, box: SandboxView, path: str, start: int, is_over: IsOver
    ) -> AsyncGenerator[bytes, None]:
        """
        Yield what is in a file, then what is appended, until it is over and all has been given.

        The file may not be there yet. An empty piece is a moment in which nothing came.
        """
        reader: Reader | None = None
        try:
            while True:
                over = await is_over()
                if reader is None:
                    reader = await self._opened(box, path, start)
                while reader is not None and (data := await reader.read(BLOCK)):
                    yield data
                if over:
                    return
                yield b""
                await asyncio.sleep(_LOOK_S)
        finally:
            if reader is not None:
                await reader.close()

    async def _opened(self, box: SandboxView, path: str, start: int) -> Reader | None:
        try:
            return await self.open(box, path, start)
        except NotFound:
            return None


@contextmanager
def _shown(path: str) -> Iterator[None]:
    """Name the file as its owner does, not by where its sandbox is."""
    try:
        yield
    except NotFound as error:
        detail = f"there is no file {path!r}; it is not written yet, or it was cleaned up"
        raise NotFound(detail, code="no_file") from error
    except Invalid as error:
        detail = f"{path!r} cannot be read: it is not a regular file, or a link leads to it"
        raise Invalid(detail, pointer="/path", code=error.code) from error
