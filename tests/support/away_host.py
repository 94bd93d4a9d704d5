"""A host that is away until somebody says that it is back."""

from __future__ import annotations

from pathlib import Path

from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.hosts.local import LocalHost
from jobwire.actors.runtime.settings import SiteSettings
from jobwire.schemas.errors import Unavailable


class AwayHost(LocalHost):
    """The machine of the test; it cannot be opened before a file `FOLDER.back` is there."""

    def __init__(self, settings: SiteSettings) -> None:
        """Serve the folder that the settings name."""
        assert settings.folder is not None
        super().__init__(FileTree(Path(settings.folder)), settings.folder)
        self._back = Path(f"{settings.folder}.back")

    async def open(self) -> None:
        """Fail while the host is away."""
        if not self._back.exists():
            raise Unavailable("connection refused")
        await super().open()
