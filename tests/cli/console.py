"""The real command line in real processes: piped, or on a pseudo-terminal of some width."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from jobwire.actors.runtime.folder import DataFolder
from tests.support.leftovers import end_jobs

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "jobwire.actors.cli.main")

#: Longest time for one command, also on a machine that is busy with other tests.
PATIENCE_S = 90.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """What it wrote as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def record(self) -> dict[str, Any]:
        """The one line that it wrote."""
        (only,) = self.records
        return only


class Console:
    """A user at a shell with one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "JOBWIRE" not in name}
        return kept | {"PYTHONPATH": str(ROOT), "JOBWIRE_DATA": str(self.folder), "LANG": "C.UTF-8"}

    @staticmethod
    def python() -> tuple[str, ...]:
        """Return the interpreter."""
        return (sys.executable,)

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        process = subprocess.Popen(
            (*COMMAND, *arguments),
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def up(self, *arguments: str, **settings: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start the service; return its process and what it said when it was ready."""
        process = self.start("up", *(arguments or ("--port", "0")), **settings)
        assert process.stdout is not None
        said = ""
        while not (first_job := re.search(r"^curl .*$", said, re.MULTILINE)):
            line = process.stdout.readline()
            assert line, process.communicate(timeout=PATIENCE_S)[1]
            said += line
        url = re.search(r"is ready at (\S+)", said)
        assert url is not None, said
        return process, {"url": url[1], "pid": process.pid, "try": first_job[0], "text": said}

    def run(self, *arguments: str, text: str | None = None, **settings: str) -> Ran:
        """Run a command to its end, with its output piped."""
        done = subprocess.run(
            (*COMMAND, *arguments),
            env=self.environment | settings,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def ask(self, path: str, body: object = None) -> Any:
        """Ask the running service itself, which is quicker than a command; return its JSON."""
        folder = DataFolder(self.folder)
        service = folder.service()
        assert service is not None
        request = Request(
            service.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {folder.api_key()}",
                "Content-Type": "application/json",
            },
        )
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def state_of(self, job: str) -> str:
        """Return the state of a job."""
        state: str = self.ask(f"/v1/jobs/{job}")["state"]
        return state

    def submitted(self, *argv: str, **fields: Any) -> str:
        """Ask for a job that the service runs; return its id."""
        made: str = self.ask("/v1/jobs", {"spec": {"argv": argv}, **fields})["id"]
        return made

    def job(self, *arguments: str) -> str:
        """Make a job; return its id."""
        made: str = self.run("create", *arguments).record["id"]
        return made

    def look(
        self,
        *arguments: str,
        columns: int,
        ctrl_c_after: str | None = None,
        once: Mapping[str, Callable[[], object]] | None = None,
    ) -> Ran:
        """
        Run a command at a terminal.

        Args:
            arguments: of the command.
            columns: how wide the terminal is.
            ctrl_c_after: a pattern; when it has been shown, Ctrl-C is pressed.
            once: what happens when something is shown, by its pattern.

        """
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = self.environment | {"TERM": "xterm-256color"}
        environment.pop("COLUMNS", None)
        process = subprocess.Popen(
            (*COMMAND, *arguments),
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        reactions = dict(once or {})
        if ctrl_c_after is not None:
            reactions[ctrl_c_after] = partial(process.send_signal, signal.SIGINT)
        try:
            shown = _read(master, reactions)
        except AssertionError:
            process.kill()
            process.wait()
            raise
        os.close(master)
        return Ran(process.wait(PATIENCE_S), shown, "")

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        end_jobs(self.folder)


def _read(master: int, reactions: dict[str, Callable[[], object]]) -> str:
    """Read until the terminal is closed at the other side; react to each pattern once."""
    content, deadline = b"", time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.05)
        try:
            content += os.read(master, 65_536) if ready else b""
        except OSError:  # the terminal was closed at the other side
            return content.decode()
        shown = _ESCAPES.sub("", content.decode(errors="replace"))
        for pattern in [each for each in reactions if re.search(each, shown, re.DOTALL)]:
            reactions.pop(pattern)()
    raise AssertionError(f"the command does not end; it has shown {content.decode()!r}")


def plain(shown: str) -> list[str]:
    """Return the lines as they are read, without colours."""
    lines = re.split(r"\r+\n|\r|\n", shown)
    return [_ESCAPES.sub("", line).rstrip() for line in lines]


def wait_until(claim: Any, what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


def texts(lines: Sequence[str]) -> str:
    """Join lines into one text, however they were wrapped."""
    return " ".join(" ".join(lines).split())
