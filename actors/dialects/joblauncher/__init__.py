"""The dialect of joblauncher, later osmium."""

from __future__ import annotations

from typing import Final

from jobwire.actors.dialects.base import DialectCommand, DialectPlugin
from jobwire.actors.dialects.joblauncher.settings import Joblauncher

PLUGIN: Final = DialectPlugin(
    name="joblauncher",
    title="joblauncher",
    dialect=f"{__name__}.dialect:JoblauncherDialect",
    settings=Joblauncher,
    commands={
        "import-config": DialectCommand(
            target=f"{__name__}.commands:import_config",
            section="Service",
            summary="Translate another system's configuration.",
        )
    },
    documentation=f"{__name__}.documentation:DOCUMENTATION",
)
