"""The dialects of one process: made from what is installed, chosen by what is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import structlog

from jobwire.actors.dialects import registry
from jobwire.actors.dialects.base import (
    Dialect,
    DialectContext,
    DialectPlugin,
    ForeignDialect,
    Signer,
)
from jobwire.actors.runtime.mounting import NATIVE, Mounting
from jobwire.schemas.errors import JobwireError, Misconfigured

_log = structlog.get_logger()

MakeContext = Callable[[DialectPlugin], DialectContext[Mounting]]
"""Makes what a dialect is built with."""


class Dialects:
    """The native API, and the dialects of other systems."""

    def __init__(self, chosen: Mapping[str, Mounting], make_context: MakeContext) -> None:
        """Build dialects on demand; `chosen` holds the settings of those that are set."""
        self._chosen = chosen
        self._make_context = make_context

    @cached_property
    def native(self) -> Dialect:
        """The native API."""
        plugin = registry.plugin(NATIVE)
        return plugin.build(self._make_context(plugin))

    @cached_property
    def foreign(self) -> Mapping[str, ForeignDialect]:
        """
        Every foreign dialect by its name, also those that are not enabled.

        Raises:
            Misconfigured: one that the settings name cannot be used; any other is left out.

        """
        made: dict[str, ForeignDialect] = {}
        for name in registry.foreign_names():
            try:
                made[name] = self._build(registry.plugin(name))
            except Exception as error:
                if name not in self._chosen:
                    _log.error("dialect_left_out", dialect=name, error=str(error))
                elif isinstance(error, JobwireError):
                    raise
                else:
                    detail = f"the dialect {name!r} cannot be made: {type(error).__name__}: {error}"
                    raise Misconfigured(detail) from error
        return made

    @property
    def spoken(self) -> Sequence[ForeignDialect]:
        """The foreign dialects that are enabled."""
        enabled = {name for name, each in self._chosen.items() if each.enabled}
        return [each for name, each in self.foreign.items() if name in enabled]

    @cached_property
    def signers(self) -> Mapping[str, Signer]:
        """The signers of callbacks, by the names that notices give."""
        return {
            name: signer
            for dialect in self.foreign.values()
            for name, signer in dialect.signers().items()
        }

    def _build(self, plugin: DialectPlugin) -> ForeignDialect:
        dialect = plugin.build(self._make_context(plugin))
        if not isinstance(dialect, ForeignDialect):
            raise Misconfigured(f"{plugin.dialect} of {plugin.name!r} is not a ForeignDialect")
        return dialect
