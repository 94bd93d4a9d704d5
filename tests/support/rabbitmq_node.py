"""RabbitMQ as a process here, with a name, ports, folders and neighbours of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.support.daemons import Daemon
from tests.support.ports import free_port
from tests.support.servers import PATIENCE_S, answers, await_ready

#: Debian's commands on the path change the user and forget the environment; these do not.
_SCRIPTS: Final = Path("/usr/lib/rabbitmq/bin")

_CONFIGURATION: Final = """
loopback_users.guest = true
cluster_partition_handling = pause_minority
disk_free_limit.absolute = 50MB
"""


class RabbitNode:
    """The node, and the daemon that knows under which port a node's name is found."""

    def __init__(self, folder_of_scripts: Path, folder: Path, port: int) -> None:
        """Prepare a node that listens on a port and keeps its files in a folder."""
        self._scripts = folder_of_scripts
        self._folder = folder
        self._names_port = free_port()
        self._environment = self._prepare(port)
        names = ("epmd", "-port", str(self._names_port), "-address", "127.0.0.1")
        self._names = Daemon(names, folder, self._environment)
        node = (str(self._scripts / "rabbitmq-server"),)
        self._node = Daemon(node, folder, self._environment)

    def _prepare(self, port: int) -> dict[str, str]:
        """Write the files of the node; return the environment of the node and of its commands."""
        folder = self._folder
        (folder / "environment").touch()
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(_CONFIGURATION)
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment"),
            "RABBITMQ_NODENAME": f"jobwire{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # With this the script becomes the node, instead of a shell that waits for it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    @property
    def pid(self) -> int:
        """The process id of the node."""
        return self._node.pid

    @property
    def is_running(self) -> bool:
        """Whether the node lives, paused or not."""
        return self._node.is_running

    def start(self) -> None:
        """Start the node; return at once."""
        if not self._names.is_running:
            self._names.start()
            await_ready(self._names, lambda: answers(self._names_port))
        self._node.start()

    def stop(self) -> None:
        """Stop the node in good order."""
        self._node.stop()

    def kill(self) -> None:
        """End the node as a power cut would."""
        self._node.kill()

    def pause(self) -> None:
        """Stop the node where it is; return when it stands."""
        self._node.pause()

    def resume(self) -> None:
        """Let the node go on."""
        self._node.resume()

    def close(self) -> None:
        """Leave no process behind."""
        self._node.close()
        self._names.close()

    def printed(self) -> str:
        """Return what the node has printed."""
        return self._node.printed()

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of RabbitMQ's commands; whoever calls makes sure that the node runs."""
        return subprocess.run(
            [str(self._scripts / command), *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


def scripts() -> Path | None:
    """Return the folder of the scripts that honour the environment; none: not installed."""
    on_path = shutil.which("rabbitmq-server")
    folders = [_SCRIPTS, *([Path(on_path).resolve().parent] if on_path else [])]
    found = (folder for folder in folders if (folder / "rabbitmq-env").is_file())
    return next(found, None) if shutil.which("epmd") else None
