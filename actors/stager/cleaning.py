"""Clean-up: the sandboxes of a job go, except for the files that are kept of the newest one."""

from __future__ import annotations

from actors.filesystems.base import FileSystem
from actors.sites import Sandbox
from actors.stager.plan import Pattern
from schemas.errors import Invalid, NotFound
from schemas.jobs import Job
from schemas.specs import Spec

#: Kept files that are named, the first.
_MOST_NAMED = 1_000


async def clean_up(files: FileSystem, job: Job, spec: Spec) -> list[str]:
    """Remove what is not kept; give the first paths of what is. A repetition goes on with it."""
    patterns = [Pattern(path) for path in spec.kept()]

    def is_kept(path: str) -> bool:
        directory, _, below = path.partition("/")
        return directory == "work" and any(pattern.covers(below) for pattern in patterns)

    newest = await _newest(files, job)
    for attempt in range(1, job.attempt + 1):
        if attempt != newest.attempt:
            await files.remove(Sandbox(job.id, attempt).path)
    await files.prune(newest.path, is_kept)
    try:
        found = await files.walk(newest.work, 2 * _MOST_NAMED)
    except Invalid:
        return []  # more than can be named
    except NotFound:
        await files.remove(job.id)
        return []
    paths = [each.path.removeprefix(f"{newest.work}/") for each in found if each.kind == "file"]
    return paths[:_MOST_NAMED]


async def _newest(files: FileSystem, job: Job) -> Sandbox:
    """Give the newest sandbox that is there; an attempt that never began has none."""
    for attempt in range(job.attempt, 0, -1):
        sandbox = Sandbox(job.id, attempt)
        try:
            await files.stat(sandbox.work)
        except (NotFound, Invalid):
            continue
        return sandbox
    return Sandbox(job.id, job.attempt)
