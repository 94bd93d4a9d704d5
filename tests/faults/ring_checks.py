"""Part A of the promises as questions to a database at rest (compare `check` of the model)."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET
from ring_events import KEYRING, OWNER, EventMaker, Sent

from jobwire.actors.state_manager.decide import Keep, decide, entry_of
from jobwire.actors.state_manager.reaper import stale_event_of
from jobwire.actors.stores.base import EventKey
from jobwire.actors.stores.rows import job_id, microseconds
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Refusal, advance
from jobwire.schemas.lifecycles import BUILT_IN
from jobwire.schemas.outcomes import Outcome, Reason
from jobwire.schemas.tokens import identify

if TYPE_CHECKING:
    from ring_world import World

_entry = msgspec.msgpack.Decoder(Entry).decode
_job = msgspec.msgpack.Decoder(Job).decode
_refused = msgspec.msgpack.Decoder(Refusal).decode

_FORBIDDEN_AFTER_CANCEL = {"RUNNING", "QUEUED", "RETRYING"}

#: A moment after all moments of a schedule.
_ENDLESS = datetime(2999, 1, 1, tzinfo=UTC)


class Rest:
    """What a database holds when nothing runs any more."""

    def __init__(self, world: World) -> None:
        """Read everything, past the store's own verbs."""
        connection = sqlite3.connect(world.path)
        self.events: EventMaker = world.events
        self.history: dict[JobId, list[Entry]] = defaultdict(list)
        for (body,) in connection.execute("SELECT body FROM witness ORDER BY number"):
            entry = _entry(body)
            self.history[entry.job].append(entry)
        self.kept = {
            EventKey(job_id(job), EventId(event)): (seq, digest, body, due)
            for job, event, seq, digest, body, due in connection.execute(
                "SELECT job, id, seq, digest, body, due FROM entries"
            )
        }
        self.jobs = {
            job_id(row[0]): (_job(row[1]), row[2:])
            for row in connection.execute(
                "SELECT id, body, owner, state, outcome, deleted, seq, publish_at FROM jobs"
            )
        }
        self.terms = {job_id(job) for (job,) in connection.execute("SELECT job FROM terms")}
        self.refused = {
            EventKey(refusal.job, refusal.event): refusal
            for (body,) in connection.execute("SELECT body FROM refused")
            for refusal in (_refused(body),)
        }
        connection.close()
        self.entries = {
            EventKey(entry.job, entry.id): entry
            for entries in self.history.values()
            for entry in entries
        }
        self._standings: dict[JobId, list[Job]] = {}
        self.firsts: dict[EventKey, Sent] = {}
        for sent in self.events.sent:
            self.firsts.setdefault(EventKey(sent.event.job, sent.event.id), sent)

    def standings(self, job: JobId) -> list[Job]:
        """Roll a job forward from nothing; return it as each entry left it."""
        if job not in self._standings:
            standing, after = None, []
            for entry in self.history[job]:
                standing = advance(standing, entry)
                after.append(standing)
            self._standings[job] = after
        return self._standings[job]


async def violations(world: World, store: SqliteStore) -> list[str]:
    """Return everything that is not as it was promised."""
    rest = Rest(world)
    found = [*_accounted_for(rest), *_histories(rest)]
    if found:
        return found  # a broken history cannot be folded
    found += [*_projections(rest), *_decisions(rest), *_commands(rest), *_ends(rest)]
    found += _outcomes(rest, world.broker.replies)
    return found + [text async for text in _orders(rest, world, store)]


def _accounted_for(rest: Rest) -> Iterator[str]:
    for key in rest.firsts:
        if key not in rest.entries and key not in rest.refused:
            yield f"accepted event lost: {key}"
        if key in rest.entries and key in rest.refused:
            yield f"in the history and in refused: {key} {rest.refused[key].reason}"
    for key, refusal in rest.refused.items():
        if key not in rest.firsts:
            yield f"phantom in refused: {key}"
        if refusal.reason == Reason.POISON:
            yield f"a good event was set aside: {key}"
    for key, entry in rest.entries.items():
        if key not in rest.firsts:
            yield f"phantom: {key}"
        elif entry.digest != rest.firsts[key].event.digest:
            yield f"a later payload won over the first: {key}"


def _histories(rest: Rest) -> Iterator[str]:
    for job, entries in rest.history.items():
        seqs = [entry.seq for entry in entries]
        if seqs != list(range(1, len(seqs) + 1)):
            yield f"seq is not 1..n: {job} {seqs}"
        ids = [entry.id for entry in entries]
        if len(set(ids)) != len(ids):
            yield f"an event is in the history twice: {job} {ids}"


def _projections(rest: Rest) -> Iterator[str]:
    for job in rest.history:
        folded = rest.standings(job)[-1]
        if job not in rest.jobs:
            yield f"no projection: {job}"
            continue
        projected, columns = rest.jobs[job]
        if projected != folded:
            yield f"the projection is not the fold: {projected} instead of {folded}"
        publish_at = folded.publish_at()
        expected = (
            folded.owner,
            folded.state,
            folded.outcome,
            int(folded.deleted),
            folded.seq,
            microseconds(publish_at) if publish_at else None,
        )
        # A command that was published already is put off; only that.
        if columns[-1] and expected[-1] and columns[-1] > expected[-1]:
            columns = (*columns[:-1], expected[-1])
        if columns != expected:
            yield f"indexed columns are not the projection's: {job} {columns}, not {expected}"
        yield from _tombstone(rest, folded)
        is_watched = folded.stale_at() is not None and not folded.deleted
        if is_watched and stale_event_of(folded, BUILT_IN[folded.lifecycle]):
            yield f"a stale job was never ended: {folded}"
    yield from (f"projection without history: {job}" for job in rest.jobs.keys() - rest.history)


def _tombstone(rest: Rest, folded: Job) -> Iterator[str]:
    if folded.deleted and folded.id in rest.terms:
        yield f"a deleted job can be found by its words: {folded.id}"
    for entry in rest.history[folded.id]:
        kept = rest.kept.get(EventKey(entry.job, entry.id))
        if kept is None or kept[:2] != (entry.seq, entry.digest):
            yield f"a deletion forgot an id: {entry.job}/{entry.id}"
        elif entry.due and (kept[2] is None or not kept[3]):
            yield f"nobody was told of an entry, and it is gone: {entry.job}/{entry.id}"
        elif folded.deleted and not entry.due and kept[2] is not None:
            yield f"a deleted job's entry is still whole: {entry.job}/{entry.id}"


def _decisions(rest: Rest) -> Iterator[str]:
    copies = {(sent.event.job, sent.event.id, sent.event.received): sent for sent in
              rest.events.sent}  # fmt: skip
    for entries in rest.history.values():
        job: Job | None = None
        for entry in entries:
            event = copies[entry.job, entry.id, entry.received].event
            sender = identify(KEYRING, event)
            lifecycle = BUILT_IN[job.lifecycle if job and not job.deleted else _birth(event)]
            assert sender is not None
            again = decide(job, event, sender, lifecycle, 40)
            if not isinstance(again, Keep) or entry_of(job, event, again, lifecycle) != entry:
                yield f"decided on another state: {entry.job} seq {entry.seq} {entry.id}: {again}"
            job = advance(job, entry)


def _commands(rest: Rest) -> Iterator[str]:
    last: dict[tuple[int, JobId], int] = {}
    made: dict[JobId, int] = {}
    for key, sent in rest.firsts.items():
        if sent.event.creation is not None:
            made.setdefault(key.job, sent.number)
        refusal = rest.refused.get(key)
        if refusal and refusal.reason == Reason.UNKNOWN_JOB and refusal.owner in ("", OWNER):
            yield from _unknown(key, sent, made)
        entry = rest.entries.get(key)
        if entry is None or sent.client is None:
            continue
        if entry.seq < last.get((sent.client, key.job), 0):
            yield f"the order of client {sent.client} is broken: {key} at {entry.seq}"
        last[sent.client, key.job] = entry.seq


def _unknown(key: EventKey, sent: Sent, made: dict[JobId, int]) -> Iterator[str]:
    if made.get(key.job, sent.number) < sent.number:
        yield f"event of an existing job refused as unknown: {key}"


def _ends(rest: Rest) -> Iterator[str]:
    for entries in rest.history.values():
        standing: Job | None = None
        cancelled = False
        for entry in entries:
            if standing is not None and not standing.deleted:
                yield from _left_the_end(standing, entry)
            born = entry.change.creation is not UNSET
            if born:
                cancelled = False
            if cancelled and entry.applied and entry.state in _FORBIDDEN_AFTER_CANCEL:
                yield f"accepted cancel forgotten: {entry.job} is {entry.state} at {entry.seq}"
            cancelled |= entry.name == "cancel" and entry.applied
            standing = advance(standing, entry)


def _left_the_end(standing: Job, entry: Entry) -> Iterator[str]:
    table = BUILT_IN[standing.lifecycle]
    if table.states[standing.state].final and entry.state != standing.state:
        kind = table.events.get(entry.name)
        if kind is None or not kind.administrative:
            yield f"left a final state: {entry.job} seq {entry.seq} {entry.name}"


def _outcomes(rest: Rest, replies: dict[str, list[Outcome]]) -> Iterator[str]:
    by_address = {sent.event.reply: sent for sent in rest.events.sent}
    for address, outcomes in replies.items():
        event = by_address[address].event
        key = EventKey(event.job, event.id)
        for outcome in outcomes:
            if not _is_true(rest, key, event.digest, outcome):
                yield f"an untrue outcome: {outcome}"
    for sent in rest.events.sent:
        if sent.event.reply not in replies:
            yield f"nobody was told: {sent.event.job}/{sent.event.id}"


def _is_hidden(refusal: Refusal) -> bool:
    unknown_to_a_caller = refusal.reason == Reason.UNKNOWN_JOB and refusal.owner != ""
    return unknown_to_a_caller or refusal.reason == Reason.FORGED


def _is_true(rest: Rest, key: EventKey, digest: bytes, outcome: Outcome) -> bool:
    entry, refusal = rest.entries.get(key), rest.refused.get(key)
    if refusal is not None and _is_hidden(refusal):
        # An outsider learns nothing of an id, not even that its own first try said something else.
        return (outcome.verdict, outcome.reason) == ("refused", refusal.reason)
    stored = entry.digest if entry else refusal.digest if refusal else b""
    if stored != digest:
        return outcome.verdict == "conflict"
    if entry is None:
        return refusal is not None and (outcome.verdict, outcome.reason) == (
            "refused",
            refusal.reason,
        )
    if outcome.reason == Reason.DELETED:
        later = rest.history[key.job][entry.seq - 1 :]
        return any(each.change.deleted is True for each in later)
    verdict = "applied" if entry.applied else "kept"
    told = (outcome.verdict, outcome.reason, outcome.seq, outcome.state)
    since = rest.standings(key.job)[entry.seq - 1 :]
    return (
        told == (verdict, entry.reason, entry.seq, entry.state)
        and any(outcome.outstanding == job.outstanding for job in since)
        and (
            entry.change.creation is UNSET or any(outcome.generation == j.generation for j in since)
        )
    )


async def _orders(rest: Rest, world: World, store: SqliteStore) -> AsyncIterator[str]:
    found = {each.job.id for each in await store.outstanding(_ENDLESS, None, 500)}
    published = {(c.job, c.entry, c.kind, c.attempt) for c in world.broker.commands}
    for job in rest.history:
        standing = rest.standings(job)[-1]
        awaited, publish_at = standing.outstanding, standing.publish_at()
        if (job in found) != (publish_at is not None):
            yield f"outstanding() is wrong about {job}: {awaited}"
        is_due = publish_at is not None and awaited and awaited.since <= world.events.now
        if (
            is_due
            and awaited
            and (job, awaited.entry, awaited.kind, awaited.attempt) not in published
        ):
            yield f"a command was lost: {job} {awaited}"


def _birth(event: object) -> str:
    creation = getattr(event, "creation", None)
    return creation.lifecycle if creation else "pipeline"
