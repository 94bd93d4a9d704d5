"""Finding jobs: every filter, alone and together, against a list that is filtered by hand."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Final

import pytest
from msgspec.structs import replace

from jobwire.actors.stores.base import JobCursor, JobFilter, Store
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job
from tests.support.commits import keep
from tests.support.factories import (
    NOW,
    OWNER,
    STRANGER,
    fold,
    job_id,
    make_creation,
    make_entry,
    make_history,
)

_PARENT: Final = job_id(999)
_NAMES = (None, "align reads", "Align Genome", "reads-2024_v2", "caf\u00e9 \u00dcber")
_TAGS: tuple[tuple[str, ...], ...] = ((), ("nightly",), ("nightly", "hpc"), ("align",))
_STATES = (("CREATED", None), ("RUNNING", None), ("FINISHED", "success"), ("FAILED", "failure"))


def _make_jobs() -> tuple[list[Entry], list[Job]]:
    """Make sixty jobs of two owners, many of them made in the same microsecond."""
    dice = random.Random(7)
    entries: list[Entry] = []
    jobs: list[Job] = []
    numbers = list(range(1, 61))
    dice.shuffle(numbers)
    for number in numbers:
        state, outcome = dice.choice(_STATES)
        creation = make_creation(
            owner=OWNER if number % 6 else STRANGER,
            name=dice.choice(_NAMES),
            tags=dice.choice(_TAGS),
            lifecycle=dice.choice(("pipeline", "small")),
            parent=dice.choice((None, _PARENT)),
        )
        (create,) = make_history(job=job_id(number), creation=creation)
        create = replace(create, received=NOW + timedelta(seconds=dice.randrange(4)))
        move = make_entry(
            job=job_id(number),
            seq=2,
            name="run",
            state=state,
            outcome=outcome,
            owner=creation.owner,
        )
        entries += [create, move]
        jobs.append(fold([create, move]))
    return entries, jobs


_ENTRIES, _JOBS = _make_jobs()


def _words_of(job: Job) -> set[str]:
    texts = [job.name or "", *job.tags]
    split = "".join(c if c.isalnum() or c == "_" else " " for text in texts for c in f"{text} ")
    return set(split.lower().split())


def _expected(which: JobFilter, owner: str = OWNER) -> list[JobId]:
    found = [
        job
        for job in _JOBS
        if job.owner == owner
        and which.state in (None, job.state)
        and which.outcome in (None, job.outcome)
        and (which.tag is None or which.tag in job.tags)
        and which.lifecycle in (None, job.lifecycle)
        and which.parent in (None, job.parent)
        and (which.since is None or job.created >= which.since)
        and (which.until is None or job.created < which.until)
        and {word.lower() for text in which.words for word in text.split()} <= _words_of(job)
    ]
    found.sort(key=lambda job: (job.created, job.id), reverse=True)
    return [job.id for job in found]


async def _pages(store: Store, which: JobFilter, limit: int) -> list[JobId]:
    found: list[JobId] = []
    place: JobCursor | None = None
    while True:
        page = await store.find(OWNER, which, place, limit)
        assert len(page) <= limit
        found += [job.id for job in page]
        if len(page) < limit:
            return found
        place = JobCursor(page[-1].created, page[-1].id)


_SINGLE: dict[str, JobFilter] = {
    "nothing": JobFilter(),
    "state": JobFilter(state="RUNNING"),
    "a state that nobody is in": JobFilter(state="GONE"),
    "outcome": JobFilter(outcome="success"),
    "tag": JobFilter(tag="nightly"),
    "a tag that is a word elsewhere": JobFilter(tag="align"),
    "lifecycle": JobFilter(lifecycle="small"),
    "parent": JobFilter(parent=_PARENT),
    "since": JobFilter(since=NOW + timedelta(seconds=2)),
    "until": JobFilter(until=NOW + timedelta(seconds=2)),
    "a word of a name": JobFilter(words=("reads",)),
    "a word in another case": JobFilter(words=("ALIGN",)),
    "a word of a tag": JobFilter(words=("hpc",)),
    "two words": JobFilter(words=("align genome",)),
    "two words apart": JobFilter(words=("align", "nightly")),
    "a word with letters of its own": JobFilter(words=("\u00dcBER",)),
    "half a word": JobFilter(words=("rea",)),
    "parent and state": JobFilter(parent=_PARENT, state="RUNNING"),
    "tag and parent": JobFilter(tag="nightly", parent=_PARENT),
    "everything": JobFilter(
        state="RUNNING",
        tag="nightly",
        lifecycle="small",
        parent=_PARENT,
        since=NOW,
        until=NOW + timedelta(seconds=4),
        words=("align",),
    ),
}


@pytest.fixture
async def filled(store: Store) -> Store:
    """Return a store with sixty jobs."""
    await keep(store, *_ENTRIES)
    return store


@pytest.mark.parametrize("which", _SINGLE.values(), ids=_SINGLE.keys())
async def test_a_filter_finds_what_it_names_newest_first(filled: Store, which: JobFilter) -> None:
    found = await filled.find(OWNER, which, None, 100)

    assert _expected(which) == [job.id for job in found]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    "which",
    [
        JobFilter(),
        JobFilter(state="RUNNING"),
        JobFilter(tag="nightly"),
        JobFilter(words=("align",)),
        JobFilter(parent=_PARENT),
    ],
    ids=["all", "state", "tag", "word", "parent"],
)
async def test_pages_leave_no_gap_and_repeat_nothing_where_moments_are_equal(
    filled: Store, which: JobFilter, limit: int
) -> None:
    assert _expected(which) == await _pages(filled, which, limit)


@pytest.mark.parametrize("text", ["***", "-", "..."])
async def test_a_search_that_names_no_word_finds_nothing(filled: Store, text: str) -> None:
    assert await filled.find(OWNER, JobFilter(words=(text,)), None, 9) == []
    assert await filled.find(OWNER, JobFilter(words=(text,), tag="nightly"), None, 9) == []


def _any_filter(dice: random.Random) -> JobFilter:
    return JobFilter(
        state=dice.choice((None, "CREATED", "RUNNING", "FINISHED")),
        outcome=dice.choice((None, None, "success", "failure")),
        tag=dice.choice((None, "nightly", "hpc", "none")),
        lifecycle=dice.choice((None, "pipeline", "small")),
        parent=dice.choice((None, _PARENT, job_id(1))),
        since=dice.choice((None, NOW + timedelta(seconds=1))),
        until=dice.choice((None, NOW + timedelta(seconds=3))),
        words=tuple(dice.choices(("align", "reads", "v2", "hpc"), k=dice.randrange(3))),
    )


async def test_any_filters_together_find_what_all_of_them_name(filled: Store) -> None:
    dice = random.Random(11)
    some = 0

    for _ in range(150):
        which = _any_filter(dice)
        expected = _expected(which)
        some += bool(expected)
        assert expected == await _pages(filled, which, 4), which
    assert some > 20


async def test_counts_add_up_to_the_jobs_there_are(filled: Store) -> None:
    counts = await filled.count(OWNER, 1_000)

    assert not any(count.at_least for count in counts)
    assert sum(count.jobs for count in counts) == len(_expected(JobFilter()))
    for count in counts:
        which = JobFilter(state=count.state, lifecycle=count.lifecycle)
        assert count.jobs == len(_expected(which))
        assert count.outcome == dict(_STATES)[count.state]


async def test_of_a_state_with_many_jobs_only_the_newest_are_counted(filled: Store) -> None:
    newest = await filled.count(OWNER, 2)

    by_state = {state: [each for each in newest if each.state == state] for state, _ in _STATES}
    for state, found in by_state.items():
        looked_at = _expected(JobFilter(state=state))[:2]
        lifecycles = {job.id: job.lifecycle for job in _JOBS}
        expected = Counter(lifecycles[job] for job in looked_at)
        assert {each.lifecycle: each.jobs for each in found} == expected
        assert {each.at_least for each in found} == {len(looked_at) == 2}
