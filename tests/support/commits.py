"""Makes what one batch writes, as the state manager would."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jobwire.actors.stores.base import Commit, Committed, Store
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job, Refusal, advance
from jobwire.schemas.lifecycle import CREATE


def make_commit(
    entries: Sequence[Entry] = (),
    *,
    before: Sequence[Job] = (),
    jobs: Sequence[Job] | None = None,
    refusals: Sequence[Refusal] = (),
    created: Collection[JobId] | None = None,
    moved: Collection[JobId] | None = None,
) -> Commit:
    """Make a commit of entries; the jobs are their folds over `before` unless they are named."""
    folded: dict[JobId, Job] = {job.id: job for job in before}
    if jobs is None:
        for entry in entries:
            folded[entry.job] = advance(folded.get(entry.job), entry)
        jobs = [folded[job] for job in dict.fromkeys(entry.job for entry in entries)]
    born = {entry.job for entry in entries if entry.name == CREATE and entry.seq == 1}
    return Commit(
        refusals=refusals,
        entries=entries,
        jobs=jobs,
        created=born if created is None else created,
        moved={job.id for job in jobs} if moved is None else moved,
    )


async def keep(store: Store, *entries: Entry, before: Sequence[Job] = ()) -> Committed:
    """Commit entries and the jobs that they make; all of them must be stored."""
    committed = await store.commit(make_commit(entries, before=before))
    assert committed.conflict is None
    assert [each.entry for each in committed.stored] == list(entries)
    return committed
