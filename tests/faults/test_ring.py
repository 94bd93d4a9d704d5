"""
The state manager and the store under every fault that the model of the ring knows.

Schedules are drawn from seeds, and a failing one is cut down to its shortest form. More of them:
`JOBWIRE_FAULT_SEEDS=5000 pytest tests/faults/test_ring.py`; others: `JOBWIRE_FAULT_SEED=123`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ring_faults import FAILPOINTS, PART_PLACES, WHOLE_PLACES, WRITES, FaultKind
from ring_mutations import MUTATIONS, REBORN, TWO_CONSUMERS, Lingers, Mutation
from ring_script import Profile, ScriptMaker, Step
from ring_world import Container, World, show

_SEEDS = int(os.environ.get("JOBWIRE_FAULT_SEEDS", "200"))
_FIRST_SEED = int(os.environ.get("JOBWIRE_FAULT_SEED", "0"))
#: Schedules within which every deliberate mistake must be found.
_MUTATION_SEEDS = 150
#: Runs spent on cutting a failing schedule down.
_MOST_CUTS = 200

_PROFILES = {
    "whole commits": Profile(in_parts=False),
    "commits in parts": Profile(),
    "one busy job": Profile(jobs=1, faults=0.7, again=0.35),
    "deleted and made again": REBORN,
    "crowded": Profile(jobs=4, steps=40, faults=0.3),
}


class Ring:
    """Plays schedules, each in a world of its own."""

    def __init__(self, folder: Path, parts: Container) -> None:
        """Put the databases in a folder."""
        self._files = (folder / f"{number}.db" for number in itertools.count())
        self._container = parts
        self.struck: Counter[tuple[str, str]] = Counter()
        self.trace: list[str] = []

    def play(self, script: list[Step], profile: Profile, seed: int) -> list[str]:
        """Play one schedule."""
        file = next(self._files)
        world = World(file, self._container, in_parts=profile.in_parts, seed=seed)
        try:
            return asyncio.run(world.play(script))
        finally:
            self.struck.update(world.struck)
            self.trace = world.trace
            for each in file.parent.glob(f"{file.name}*"):
                each.unlink()

    def shortest(self, script: list[Step], profile: Profile, seed: int) -> list[Step]:
        """Leave out steps as long as the schedule still fails."""
        left, index = _MOST_CUTS, len(script) - 1
        while index >= 0 and left:
            shorter = script[:index] + script[index + 1 :]
            left -= 1
            if self.play(shorter, profile, seed):
                script = shorter
            index -= 1
        return script

    def report(self, script: list[Step], profile: Profile, seed: int) -> str:
        """Describe what fails, how, and the seed."""
        script = self.shortest(script, profile, seed)
        found = self.play(script, profile, seed)
        steps = [f"  {type(step).__name__} {show(step)}" for step in script]
        return "\n".join(
            (f"seed {seed}, {profile}", *found, "schedule:", *steps, "trace:", *self.trace)
        )


@pytest.mark.parametrize("profile", _PROFILES.values(), ids=_PROFILES)
def test_nothing_is_lost_doubled_or_misplaced_under_any_schedule(
    profile: Profile, memory: Path
) -> None:
    ring = Ring(memory, Container())
    seeds = range(_FIRST_SEED, _FIRST_SEED + _SEEDS // len(_PROFILES))

    for seed in seeds:
        script = ScriptMaker(seed, profile).make()
        if ring.play(script, profile, seed):
            pytest.fail(ring.report(script, profile, seed))


@pytest.mark.parametrize("in_parts", [False, True], ids=["whole", "in parts"])
def test_every_place_is_struck_by_every_fault_that_fits(in_parts: bool, memory: Path) -> None:
    ring = Ring(memory, Container())

    for seed, (kind, place) in enumerate(_all_faults(in_parts=in_parts), 1_000):
        profile = Profile(in_parts=in_parts, kinds=(kind,), places=(place,), faults=0.9)
        for again in range(20):
            script = ScriptMaker(seed + 1_000 * again, profile).make()
            assert ring.play(script, profile, seed) == []
            if ring.struck[place, kind]:
                break

    assert set(_all_faults(in_parts=in_parts)) <= {(kind, place) for place, kind in ring.struck}


def test_two_consumers_of_one_queue_break_the_order_and_nothing_else(memory: Path) -> None:
    ring = Ring(memory, Container(line=Lingers))
    order = (
        "the order of client",
        "a later payload won over the first",
        "event of an existing job refused as unknown",
    )

    found = [
        violation
        for seed in range(20)
        for violation in ring.play(ScriptMaker(seed, TWO_CONSUMERS).make(), TWO_CONSUMERS, seed)
    ]

    assert [violation for violation in found if not violation.startswith(order)] == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_state_manager_or_store_with_one_mistake_is_found_out(
    mutation: Mutation, memory: Path
) -> None:
    ring = Ring(memory, mutation.parts)

    found = list(itertools.islice(_found(ring, mutation), 1))

    assert found, f"{_MUTATION_SEEDS} schedules did not notice: it {mutation.name}"


def _found(ring: Ring, mutation: Mutation) -> Iterator[tuple[int, str]]:
    for seed in range(_MUTATION_SEEDS):
        script = ScriptMaker(seed, mutation.profile).make()
        for violation in ring.play(script, mutation.profile, seed):
            if violation.startswith(mutation.found):
                yield seed, violation


def _all_faults(*, in_parts: bool) -> Iterator[tuple[FaultKind, str]]:
    gates = WHOLE_PLACES + (PART_PLACES if in_parts else ())
    for place in FAILPOINTS + gates:
        yield "crash", place
    for place in gates:
        yield "pause", place
    for write in WRITES if in_parts else ():
        yield "lost", write
        yield "done", write
        yield "late", write
