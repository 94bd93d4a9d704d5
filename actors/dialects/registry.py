"""The dialects that are installed: the only module that leads to one."""

from __future__ import annotations

from collections.abc import Callable

from jobwire.actors.dialects.base import DialectPlugin
from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.mounting import NATIVE
from jobwire.schemas.errors import Misconfigured

FAMILY = "dialects"

OnBroken = Callable[[str, Misconfigured], None]
"""Told of a dialect that cannot be used, and why."""


def plugin(name: str) -> DialectPlugin:
    """
    Return one dialect.

    Raises:
        Misconfigured: it is not installed, or is broken.

    """
    found = plugins.load(FAMILY, name)
    if not isinstance(found, DialectPlugin) or found.name != name:
        detail = f"what {name!r} of the family {FAMILY} leads to is not a dialect of this name"
        raise Misconfigured(detail)
    return found


def foreign_names() -> list[str]:
    """Return the names of the dialects of other systems, in alphabetical order."""
    return [name for name in plugins.names(FAMILY) if name != NATIVE]


def foreign_plugins(on_broken: OnBroken) -> list[DialectPlugin]:
    """Return the dialects of other systems; one that is broken is left out."""
    found = []
    for name in foreign_names():
        try:
            found.append(plugin(name))
        except Misconfigured as error:
            on_broken(name, error)
    return found
