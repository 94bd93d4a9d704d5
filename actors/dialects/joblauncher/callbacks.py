"""Callbacks: a PUT of the bare status document, whenever the state changes."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from jobwire.actors.dialects.base import Notice
from jobwire.actors.dialects.joblauncher.asking import TOLD
from jobwire.actors.dialects.joblauncher.statuses import is_unstarted, status_of
from jobwire.actors.dialects.problems import encode
from jobwire.actors.operations import Operations
from jobwire.actors.operations.withdrawals import WITHDRAWN
from jobwire.schemas.errors import NotFound
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.principals import Principal

_TYPE: Final = ("Content-Type", "application/json; charset=UTF-8")
#: Entries of a history that are looked at for an earlier run.
_MOST_ENTRIES: Final = 1_000


class StatusCallbacks:
    """Writes the callbacks of this dialect's jobs."""

    def __init__(self, operations: Operations, signer: str, *, spelt: bool) -> None:
        """Read histories; `spelt` adds the correct spelling of a misspelt field."""
        self._jobs = operations.jobs
        self._signer = signer
        self._spelt = spelt

    async def notice(self, job: Job, entry: Entry) -> Notice | None:
        """
        Return the callback for an entry; None: nothing is sent.

        Nothing is sent for a job whose submission was answered with an error, because its inputs
        failed or it was withdrawn; and each state is sent once.
        """
        change = entry.change
        cause = job.cause if change.cause is UNSET else change.cause
        ending = job.ending if change.ending is UNSET else change.ending
        if is_unstarted(entry.outcome, cause, ending):
            return None
        if await self._ran_before(job, entry) or await self._was_withdrawn(job, entry):
            return None
        status = status_of(entry.state, entry.outcome, cause, ending)
        return Notice(
            encode(status.document(spelt=self._spelt)),
            method="PUT",
            headers=(
                _TYPE,
                ("Jobwire-Job", entry.job),
                ("Jobwire-Sequence", str(entry.seq)),
                ("Jobwire-Timestamp", entry.received.isoformat()),
            ),
            signer=self._signer,
            in_order=True,
            lenient=True,
        )

    async def _ran_before(self, job: Job, entry: Entry) -> bool:
        """Return whether a job is found to run that was told to run before it was doubted."""
        if entry.state != "RUNNING" or not job.suspected:
            return False
        return any(each.state == "RUNNING" for each in await self._before(job, entry))

    async def _was_withdrawn(self, job: Job, entry: Entry) -> bool:
        """Return whether a cancelled job was withdrawn before its submitter got its id."""
        if entry.outcome != "cancelled":
            return False
        before = await self._before(job, entry)
        is_new = not any(each.state in TOLD for each in before)
        return is_new and any(each.source == WITHDRAWN for each in (*before, entry))

    async def _before(self, job: Job, entry: Entry) -> list[Entry]:
        """Return the earlier entries; of a job that has been deleted meanwhile there are none."""
        reader = Principal(job.owner, frozenset({"read"}))
        try:
            history, _ = await self._jobs.history(reader, job.id, None, _MOST_ENTRIES)
        except NotFound:
            return []
        return [each for each in history if each.seq < entry.seq]
