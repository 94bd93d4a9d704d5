"""Clean-up: the sandboxes of a job go, except for the files that are kept of the newest one."""

from __future__ import annotations

from jobwire.actors.filesystems.base import FileSystem
from jobwire.actors.sites import Sandbox, newest_sandbox
from jobwire.actors.stager.names import Names
from jobwire.actors.stager.plan import Pattern
from jobwire.schemas.errors import Invalid, NotFound
from jobwire.schemas.jobs import Job
from jobwire.schemas.reports import Cleaned
from jobwire.schemas.specs import Spec

#: Kept files and directories that are looked at to name and count them.
_MOST_COUNTED = 100_000


async def clean_up(files: FileSystem, job: Job, spec: Spec) -> Cleaned:
    """Remove what is not kept; return the report, which names what is. A repetition goes on."""
    patterns = [Pattern(path) for path in spec.kept()]

    def is_kept(path: str) -> bool:
        directory, _, below = path.partition("/")
        return directory == "work" and any(pattern.covers(below) for pattern in patterns)

    newest = await newest_sandbox(files, job)
    for attempt in range(1, job.attempt + 1):
        if attempt != newest.attempt:
            await files.remove(Sandbox(job.id, attempt).path)
    await files.prune(newest.path, is_kept)
    try:
        found = await files.walk(newest.work, _MOST_COUNTED)
    except Invalid:
        found = []  # more than can be named
    except NotFound:
        await files.remove(job.id)
        found = []
    names: Names[str] = Names()
    for each in found:
        if each.kind == "file":
            names.add(each.path.removeprefix(f"{newest.work}/"))
    return Cleaned(kept=tuple(names.named), kept_more=names.more)
