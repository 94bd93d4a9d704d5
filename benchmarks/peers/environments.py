"""The environments that the peers are installed in: one each, apart from this project's."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2] / ".peers"

#: What is installed for each peer: the newest of its current major version.
_REQUIREMENTS: Final = {
    # Prefect 3.8 allows newer releases of FastAPI, and does not start with them.
    "prefect": ("prefect>=3,<4", "fastapi<0.150"),
    "celery": ("celery>=5.5,<6",),
}

#: Scripts that run in there, with what is installed there.
INSIDE: Final = Path(__file__).parent / "inside"


class Environment:
    """One peer's environment."""

    def __init__(self, peer: str) -> None:
        """Install the peer where it is missing; this takes a minute, once."""
        self.folder = _ROOT / peer
        self._peer = peer
        if not self.command(peer).exists():
            self._install()

    def _install(self) -> None:
        print(f"installing {self._peer} ...", file=sys.stderr, flush=True)
        _ROOT.mkdir(exist_ok=True)
        (_ROOT / ".gitignore").write_text("*\n")
        venv.create(self.folder, with_pip=True, clear=True)
        install = ("install", "--quiet", *_REQUIREMENTS[self._peer])
        subprocess.run([self.command("pip"), *install], check=True)

    def command(self, name: str) -> Path:
        """Return the path of a command that is installed there."""
        return self.folder / "bin" / name

    @property
    def version(self) -> str:
        """What is installed, as name and version."""
        code = f"import importlib.metadata as m; print(m.version({self._peer!r}))"
        done = subprocess.run(
            [self.command("python"), "-c", code], check=True, capture_output=True, text=True
        )
        return f"{self._peer.title()} {done.stdout.strip()}"
