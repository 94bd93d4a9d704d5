"""Where entries stand in the order in which they were stored. Part of `base`."""

from __future__ import annotations

from msgspec import Struct

from jobwire.schemas.jobs import Entry

Place = tuple[int, ...]
"""
Where a reader of an owner's entries stands: the last position it has seen, in each lane.

A store writes entries in one or more lanes, each with an order of its own; a job keeps to one lane.
Lanes that are not named are at their beginning, so `()` is before everything.
"""


class Positioned(Struct, frozen=True, array_like=True):
    """
    An entry and its position in its lane.

    Of the entries of one owner those with smaller positions of the lane can be read before it.
    """

    position: int
    entry: Entry
    lane: int = 0


def is_after(place: Place, positioned: Positioned) -> bool:
    """Return whether an entry comes after a place."""
    lane = positioned.lane
    return lane >= len(place) or positioned.position > place[lane]


def moved_to(place: Place, positioned: Positioned) -> Place:
    """Return the place of a reader that has now seen an entry too."""
    longer = place + (0,) * (positioned.lane + 1 - len(place))
    return (*longer[: positioned.lane], positioned.position, *longer[positioned.lane + 1 :])
