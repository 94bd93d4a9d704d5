"""The native dialect: the API of the service itself, always mounted."""

from __future__ import annotations

from typing import Final

from jobwire.actors.dialects.base import DialectPlugin
from jobwire.actors.runtime.mounting import NATIVE

PLUGIN: Final = DialectPlugin(
    name=NATIVE, title="native", dialect=f"{__name__}.dialect:NativeDialect"
)
