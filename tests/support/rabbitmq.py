"""A RabbitMQ node of the tests' own, and all that an administrator or a bad day can do to it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from tests.support.containers import Container, is_docker_at_hand
from tests.support.ports import free_port
from tests.support.rabbitmq_node import RabbitNode, scripts
from tests.support.servers import (
    ServerMissing,
    answers,
    await_ready,
    new_folder,
    remove_folder,
)

MISSING: Final = (
    "NO RABBITMQ: install it (on Debian: apt-get install rabbitmq-server) or Docker Compose,"
    " or set JOBWIRE_TEST_RABBITMQ"
)

#: Virtual hosts that are made with one command: each command costs half a second, a host nothing.
_BATCH: Final = 8

#: Makes virtual hosts for the guest, and drops others, in the words of the node itself.
_EXCHANGE_HOSTS: Final = """
lists:foreach(fun(Name) -> rabbit_vhost:delete(Name, <<"tests">>) end, [{dropped}]),
lists:foreach(fun(Name) ->
    ok = rabbit_vhost:add(Name, <<"tests">>),
    ok = rabbit_auth_backend_internal:set_permissions(
        <<"guest">>, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
end, [{made}]).
"""


class RabbitServer:
    """One node: a process here, or a container where RabbitMQ is not installed."""

    def __init__(self, folder: Path | None = None) -> None:
        """
        Prepare; nothing runs yet. Data lies in the folder, else in memory.

        Raises:
            ServerMissing: there is neither RabbitMQ nor a working Docker Compose.

        """
        self._folder = folder or new_folder("rabbitmq")
        self.port = free_port()
        self._api_port = free_port()
        self._node = self._choose_node()
        self._fresh: list[str] = []
        self._used: list[str] = []

    def _choose_node(self) -> RabbitNode | Container:
        if found := scripts():
            return RabbitNode(found, self._folder, self.port)
        if is_docker_at_hand():
            return Container("rabbitmq", JOBWIRE_PORT=self.port, JOBWIRE_API_PORT=self._api_port)
        remove_folder(self._folder)
        raise ServerMissing(MISSING)

    @property
    def url(self) -> str:
        """Where it answers, in its first virtual host, which is called `/`."""
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        """Where it answers, in a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    @property
    def pid(self) -> int:
        """The id of the node's process; a container has none that is seen here."""
        assert isinstance(self._node, RabbitNode)
        return self._node.pid

    @property
    def is_running(self) -> bool:
        """Whether the node lives, paused or not."""
        return self._node.is_running

    def start(self) -> None:
        """Start, on the data and the port that it had; return when it accepts connections."""
        self._node.start()
        # The port is opened at the very end of a start.
        await_ready(self._node, lambda: answers(self.port))

    def stop(self) -> None:
        """Stop it in good order."""
        self._node.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._node.kill()

    def restart(self) -> None:
        """Stop it in good order and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop it where it is; its connections stay open and silent."""
        self._node.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._node.resume()

    def close(self) -> None:
        """Leave no process and no file behind."""
        self._node.close()
        remove_folder(self._folder)

    def ctl(self, *arguments: str) -> str:
        """
        Run `rabbitmqctl`; return what it prints. This takes about half a second.

        Raises:
            AssertionError: it failed; with what it printed.

        """
        assert self.is_running, "the node does not run"
        done = self._node.run("rabbitmqctl", "--quiet", *arguments)
        assert done.returncode == 0, f"rabbitmqctl {arguments[0]}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_api(self) -> str:
        """Start the management plugin, which is off because it costs; return the URL of its API."""
        address = "127.0.0.1" if isinstance(self._node, RabbitNode) else "0.0.0.0"
        listener = f'[{{ip, "{address}"}}, {{port, {self._api_port}}}]'
        self.ctl("eval", f"application:set_env(rabbitmq_management, tcp_config, {listener}).")
        done = self._node.run("rabbitmq-plugins", "--quiet", "enable", "rabbitmq_management")
        assert done.returncode == 0, done.stdout + done.stderr
        return f"http://127.0.0.1:{self._api_port}"

    def queues(self, url: str, *columns: str) -> list[dict[str, Any]]:
        """List the queues of a virtual host; numbers of messages lag by some seconds."""
        listed = ("list_queues", "--vhost", vhost_of(url), "--formatter", "json")
        rows: list[dict[str, Any]] = json.loads(self.ctl(*listed, *(columns or ("name",))))
        return rows

    def consumers(self, url: str) -> list[dict[str, Any]]:
        """List who consumes which queue of a virtual host, and who is the active one."""
        listed = ("list_consumers", "--vhost", vhost_of(url), "--formatter", "json")
        rows: list[dict[str, Any]] = json.loads(self.ctl(*listed))
        return rows

    def memory_alarm(self, on: bool) -> None:
        """Raise the alarm that blocks whoever publishes, or clear it."""
        self.ctl("set_vm_memory_high_watermark", "0.00001" if on else "0.4")

    def close_connections(self, reason: str) -> None:
        """Close the connections of all virtual hosts, as an administrator would."""
        self.ctl("close_all_connections", "--global", reason)

    def delete_queue(self, url: str, name: str) -> None:
        """Delete a queue of a virtual host with all that it holds."""
        self.ctl("delete_queue", "--vhost", vhost_of(url), name)

    def vhost(self) -> str:
        """Return the URL of a virtual host that nobody has used yet."""
        if not self._fresh:
            self._fresh = [f"test-{secrets.token_hex(6)}" for _ in range(_BATCH)]
            self.ctl(
                "eval",
                _EXCHANGE_HOSTS.format(dropped=_names(self._used), made=_names(self._fresh)),
            )
            self._used.clear()
        return self.url_of(self._fresh.pop())

    def drop_vhost(self, url: str) -> None:
        """Release a virtual host; it is dropped together with others, before more are made."""
        self._used.append(vhost_of(url))


def vhost_of(url: str) -> str:
    """Return the name of the virtual host of a URL."""
    return unquote(urlsplit(url).path.removeprefix("/")) or "/"


def _names(vhosts: Sequence[str]) -> str:
    return ", ".join(f'<<"{vhost}">>' for vhost in vhosts)
