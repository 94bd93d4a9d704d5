"""The dialects that the pages tell of: those of this distribution, which must all be usable."""

from __future__ import annotations

from jobwire.actors.dialects import registry
from jobwire.actors.dialects.base import DialectPlugin
from jobwire.actors.dialects.documentation import DialectDocumentation


def plugins() -> list[DialectPlugin]:
    """Return the dialects of other systems, in alphabetical order."""
    return [registry.plugin(name) for name in registry.foreign_names()]


def documentations() -> list[DialectDocumentation]:
    """Return what they have to say."""
    return [found for each in plugins() if (found := each.document()) is not None]
