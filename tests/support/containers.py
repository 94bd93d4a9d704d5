"""Servers in containers, for machines that have Docker Compose and not the servers themselves."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from typing import Final

from tests.support.daemons import Guard
from tests.support.servers import PATIENCE_S

_FILE: Final = Path(__file__).with_name("servers.yaml")

#: The first start brings the image.
_DOWNLOAD_S: Final = 600.0


def is_docker_at_hand() -> bool:
    """Return whether there is Docker Compose and an engine that answers it."""
    try:
        done = subprocess.run(
            ["docker", "compose", "ls"], capture_output=True, check=False, timeout=PATIENCE_S
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class Container:
    """One service of `servers.yaml`, in a project of its own."""

    def __init__(self, service: str, **settings: str | int) -> None:
        """Prepare; nothing runs yet. The settings are the variables of the file."""
        self._service = service
        self._environment = os.environ | {key: str(value) for key, value in settings.items()}
        project = f"jobwire-test-{secrets.token_hex(4)}"
        self._compose = ("docker", "compose", "--project-name", project, "--file", str(_FILE))
        self._guard = Guard()

    @property
    def is_running(self) -> bool:
        """Whether the container lives, paused or not."""
        return any(
            self._do("ps", "--quiet", "--status", status, self._service)
            for status in ("running", "paused")
        )

    def start(self) -> None:
        """Start the container, on the data that it had."""
        self._guard.dismiss()
        self._guard.post(*self._compose, "down", "--volumes")
        self._do("up", "--detach", "--no-recreate", self._service)

    def stop(self) -> None:
        """Stop it in good order."""
        self._do("stop", self._service)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.is_running:
            self._do("kill", self._service)

    def pause(self) -> None:
        """Stop it where it is; return when it stands."""
        self._do("pause", self._service)

    def resume(self) -> None:
        """Let it go on."""
        self._do("unpause", self._service)

    def close(self) -> None:
        """Leave no container and no volume behind."""
        self._do("down", "--volumes")
        self._guard.dismiss()

    def printed(self) -> str:
        """Return what the container has printed."""
        return self._do("logs", "--no-color", self._service)

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return self._run("exec", "-T", self._service, command, *arguments)

    def _do(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, f"docker compose {arguments[0]}: {done.stderr}"
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._compose, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_S,
            check=False,
        )
