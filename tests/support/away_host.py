"""A host that is away until somebody says that it is back."""

from __future__ import annotations

from pathlib import Path

from jobwire.actors.hosts.local import LocalHost
from jobwire.schemas.errors import Unavailable


class AwayHost(LocalHost):
    """The machine of the test; it cannot be opened before a file `FOLDER.back` is there."""

    def __init__(self, folder: Path) -> None:
        """Serve a folder of this machine."""
        super().__init__(folder)
        self._back = Path(f"{folder}.back")

    async def open(self) -> None:
        """Fail while the host is away."""
        if not self._back.exists():
            raise Unavailable("connection refused")
        await super().open()
