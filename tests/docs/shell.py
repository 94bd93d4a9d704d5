"""A shell that stays open for a whole page, in a home of its own, beside a service."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from tests.support.ports import free_port

from .page import ROOT, Page

#: The ports that the pages name: of the service, of its processes' health, of a receiver of
#: callbacks, and of a dialect alone.
_SHOWN_PORTS = ("8640", "8641", "8642", "8643", "8644", "8650", "9998")
_PORT = re.compile(rf"(?<!\d)({'|'.join(_SHOWN_PORTS)})(?!\d)")
_PATIENCE_S = 90.0
#: How a page starts the service itself, or some of its actors.
STARTS = re.compile(r"^(\$ )?(\w+=\S+ )*jobwire (up|serve)\b", re.MULTILINE)
#: What both say near the end of their greeting.
_STARTED = re.compile(rb"curl -sS .*\n|/health/ready lists what is missing.*\n")


class Terminal:
    """A terminal that nobody sits at, so that commands print as they do for a person."""

    def __init__(self) -> None:
        """Open one that changes nothing of what is written to it."""
        self._master, self.slave = os.openpty()
        modes = termios.tcgetattr(self.slave)
        modes[1] &= ~termios.OPOST
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)
        self.name = os.ttyname(self.slave)
        self._printed = b""

    def clear(self) -> None:
        """Forget what was printed."""
        self._printed = b""

    def read(self, until: re.Pattern[bytes] | None = None) -> bytes:
        """Return what was printed so far; with `until`, when it has been printed, or time is up."""
        end = time.monotonic() + _PATIENCE_S
        with DefaultSelector() as selector:
            selector.register(self._master, EVENT_READ)
            while True:
                is_enough = until is None or until.search(self._printed)
                wait_s = 0.0 if is_enough else end - time.monotonic()
                if not selector.select(max(0.0, wait_s)):
                    return self._printed
                self._printed += os.read(self._master, 65_536)

    def close(self) -> None:
        """Close both ends."""
        os.close(self._master)
        os.close(self.slave)


class Shell:
    """Runs commands one after another, as somebody would who follows a page."""

    def __init__(self, home: Path, servers: Mapping[str, str] | None = None) -> None:
        """
        Open a shell in an empty home; a service that it starts takes a free port.

        Args:
            home: the home.
            servers: the URLs of servers that pages show, each with the one of a real server.

        """
        self._home = home
        self._servers = dict(servers or {})
        self._ports = {shown: str(free_port()) for shown in _SHOWN_PORTS}
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("JOBWIRE_")
        }
        environment |= {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "JOBWIRE_PORT": self._ports[_SHOWN_PORTS[0]],
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        environment.pop("XDG_DATA_HOME", None)
        self._terminal = Terminal()
        self._process = subprocess.Popen(
            ["/bin/bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=self._terminal.slave,
            stderr=self._terminal.slave,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
        self._services: list[Terminal] = []

    def begin(self, page: Page) -> None:
        """Prepare what a page takes for granted: its files, and a service unless it starts one."""
        self._run(f"cp -r {ROOT}/docs docs")
        if not any(STARTS.search(b.text) for b in page.blocks() if b.kind in ("console", "sh")):
            self._start("jobwire up")

    def run_python(self, text: str) -> tuple[str, int]:
        """Run a block of Python in the shell's surroundings."""
        (self._home / "snippet.py").write_text(text)
        return self.run("python snippet.py")

    def run(self, command: str) -> tuple[str, int]:
        """Run a command; return what it printed and its exit status."""
        command = _PORT.sub(lambda port: self._ports[port[1]], command)
        for shown, real in self._servers.items():
            command = command.replace(shown, real)
        if STARTS.search(command):
            return self._start(command), 0
        return self._run(command)

    def close(self) -> None:
        """Stop the services and the shell; all must end well, and nothing of them may be left."""
        try:
            for number, terminal in enumerate(self._services, 1):
                printed, status = self._run(f"kill -TERM %{number}; wait %{number}")
                assert status in (0, 127), (status, printed, terminal.read())
        finally:
            assert self._process.stdin is not None
            self._process.stdin.close()
            os.killpg(self._process.pid, signal.SIGKILL)  # also what a page that broke off has left
            self._process.wait(_PATIENCE_S)
            for terminal in (self._terminal, *self._services):
                terminal.close()

    def _start(self, command: str) -> str:
        terminal = Terminal()
        self._services.append(terminal)
        # Wide, because the paths of a test are longer than those that the page shows.
        self._run(f"COLUMNS=300 {command} >{terminal.name} 2>&1 </dev/null &")
        assert _STARTED.search(terminal.read(_STARTED)), f"no greeting of {command!r}"
        time.sleep(0.3)  # what some follow it with
        return self._as_shown(terminal.read().decode())

    def _run(self, command: str) -> tuple[str, int]:
        mark = f"end-{secrets.token_hex(8)}"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\nprintf '%s %d\\n' {mark} $?\n".encode())
        self._process.stdin.flush()
        pattern = re.compile(rf"{mark} (\d+)\n".encode())
        self._terminal.clear()
        printed = self._terminal.read(pattern)
        found = pattern.search(printed)
        assert found is not None, f"{command!r} did not end; it printed {printed.decode()[-2000:]}"
        return self._as_shown(printed[: found.start()].decode()), int(found[1])

    def _as_shown(self, text: str) -> str:
        for shown, port in self._ports.items():
            text = text.replace(f":{port}", f":{shown}")
        for shown, real in self._servers.items():
            text = text.replace(real, shown)
        return text.replace(str(self._home), "~")
