"""
The parts of each family, found by their entry points.

A family is a folder of interchangeable parts, such as `dialects` or `stores`. Each part registers
one name in the entry-point group `jobwire.<family>` of its distribution, Jobwire's own parts like
those of others, so that nothing has to be changed here for a new one.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from jobwire.schemas.errors import Misconfigured


@cache
def names(family: str) -> tuple[str, ...]:
    """Return the registered names of a family, in alphabetical order."""
    return tuple(sorted(_registered(family)))


@cache
def load(family: str, name: str) -> Any:  # each family knows the type of its own parts
    """
    Import one part of a family; nothing else of the family is imported.

    Raises:
        Misconfigured: no part has this name, or it cannot be imported.

    """
    found = _registered(family).get(name)
    if found is None:
        known = ", ".join(names(family)) or "none"
        raise Misconfigured(f"there is no part {name!r} in the family {family}; known: {known}")
    try:
        return found.load()
    except Exception as error:  # what another distribution does wrong, it may do in any way
        detail = f"the part {name!r} of the family {family} ({found.value}) cannot be loaded"
        raise Misconfigured(f"{detail}: {type(error).__name__}: {error}") from error


@cache
def _registered(family: str) -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=f"jobwire.{family}")}


def name_for(family: str, url: str | None, *, alone: str, shared: str) -> str:
    """
    Return the name of the part that a URL asks for.

    Without a URL it is `alone`, the part of a single process. Otherwise it is the one that has the
    URL's scheme as its name; where none has, `shared`, which knows what is wrong with the URL.
    """
    if url is None:
        return alone
    scheme = url.partition(":")[0].partition("+")[0]
    return scheme if scheme in names(family) and scheme != alone else shared
