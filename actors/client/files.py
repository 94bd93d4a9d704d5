"""Files of jobs: list them, read them, follow them while they grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from jobwire.actors.client.calls import Calls, given, job_path
from jobwire.actors.client.connection import Call
from jobwire.actors.client.reading import Tail, read_on, read_tail
from jobwire.schemas.errors import Invalid
from jobwire.schemas.views import FileView


class FileCalls(Calls):
    """Files of jobs."""

    def files(
        self, job: str, *, attempt: int | None = None, page: int = 500
    ) -> AsyncGenerator[FileView, None]:
        """
        Yield what is in a job's directory, in the order of paths; none while nothing is there.

        Args:
            job: whose files they are.
            attempt: of which attempt; default: the newest that has any.
            page: how many are read at a time.

        """
        asked = given(attempt=None if attempt is None else str(attempt), limit=str(page))
        return self._pages(job_path(job, "files"), FileView, asked)

    def read_file(
        self,
        job: str,
        path: str,
        *,
        attempt: int | None = None,
        start: int = 0,
        follow: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """
        Yield the bytes of a file of a job, from the byte `start` on.

        Args:
            job: whose file it is.
            path: where it is in the job's directory, such as `stdout`.
            attempt: of which attempt; default: the newest.
            start: the first byte.
            follow: go on while the job runs, as the file grows.

        A lost connection is made again at the byte where it broke off.

        Raises:
            NotFound: there is no such job, attempt or file, or it has been cleaned up.

        """
        query = given(
            attempt=None if attempt is None else str(attempt), follow="true" if follow else None
        )
        call = Call("GET", _file_path(job, path), query=query)
        return read_on(self._connection, call, start)

    async def tail_file(
        self, job: str, path: str, lines: int, *, attempt: int | None = None
    ) -> Tail:
        """
        Return the last lines of a file of a job, and the byte after them to read on from.

        Raises:
            NotFound: as `read_file`.

        """
        query = given(attempt=None if attempt is None else str(attempt))
        call = Call("GET", _file_path(job, path), query=query)
        return await read_tail(self._connection, call, lines)


def _file_path(job: str, path: str) -> str:
    """Return the path of a file; names that a URL resolves by itself would lead elsewhere."""
    names = path.split("/")
    if any(name in ("", ".", "..") for name in names):
        detail = f"{path!r} is not a path in the job's directory"
        raise Invalid(detail, pointer="/path", code="bad_path")
    return job_path(job, "files", *names)
