"""
A batch system with a queue, and without processes that anybody can watch.

It is real but small: files in a folder beside the sandboxes, and the commands of `queue.sh`. What
waits in it starts when a test lets it, or never.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.batch_systems.local import LocalBatch
from jobwire.actors.hosts.base import Completed
from jobwire.schemas.errors import Unavailable

_SCRIPT: Final = Path(__file__).with_name("queue.sh")


class QueueBatch:
    """The commands of the queue, and what they print."""

    name = "test_queue"
    has_queue = True

    def __init__(self) -> None:
        """Have the shim write the commands that the queue runs."""
        self._shim = LocalBatch()

    def submit_argv(self, launch: Launch) -> list[str]:
        """Return the command that puts an attempt into the queue."""
        return _queue(launch, "submit", launch.run, shlex.join(self._shim.submit_argv(launch)))

    def submit_stdin(self, launch: Launch, environment: Mapping[str, str]) -> bytes:
        """Return the environment."""
        return self._shim.submit_stdin(launch, environment)

    def parse_submitted(self, done: Completed) -> RunStatus:
        """Read the id of the job, or why it was refused."""
        if done.exit_code:
            return RunStatus(state="absent", detail=done.stderr.strip())
        found = re.fullmatch(r"job (\d+) has been submitted\n", done.stdout)
        if found is None:
            raise Unavailable(f"the queue printed {done.stdout!r}")
        return RunStatus(state="waiting", native=found[1])

    def status_argvs(self, launches: Sequence[Launch]) -> list[list[str]]:
        """Return the one command that looks all of them up."""
        if not launches:
            return []
        pairs = [text for each in launches for text in (each.run, each.control)]
        return [_queue(launches[0], "status", launches[0].shim, *pairs)]

    def parse_statuses(
        self, dones: Sequence[Completed], launches: Sequence[Launch]
    ) -> dict[str, RunStatus]:
        """Read a line for each attempt."""
        del launches
        return dict(self._parse(line) for done in dones for line in done.stdout.splitlines())

    def cancel_argvs(self, launch: Launch, cause: str) -> list[list[str]]:
        """Return the command that asks for the end of an attempt."""
        (argv,) = self._shim.cancel_argvs(launch, cause)
        return [_queue(launch, "cancel", launch.run, shlex.join(argv))]

    def parse_cancelled(self, dones: Sequence[Completed]) -> None:
        """Leave it to the look-ups when it has ended."""

    def _parse(self, line: str) -> tuple[str, RunStatus]:
        native, run, *words = line.split()
        match words:
            case ["waiting"]:
                return run, RunStatus(state="waiting", native=native)
            case ["running", *_]:
                return run, RunStatus(state="running", native=native)
            case ["absent"]:
                return run, RunStatus(state="absent")
            case ["cancelled"]:
                return run, RunStatus(state="burned", native=native)
        shown = Completed(0, f"{run} {' '.join(words)}\n", "")
        return run, replace(self._shim.parse_submitted(shown), native=native)


class Queue:
    """The queue of a site, as whoever runs it sees it."""

    def __init__(self, folder: Path) -> None:
        """Look after the queue beside the sandboxes in a folder."""
        self._folder = folder / "queue"
        self._folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start everything that waits."""
        subprocess.run(["sh", str(_SCRIPT), "start", str(self._folder)], check=True, timeout=20)

    def close(self) -> None:
        """Refuse whatever comes."""
        (self._folder / "closed").touch()

    def asked(self, verb: str) -> list[int]:
        """Return how many words followed each command of a kind that was run."""
        log = self._folder / "log"
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [int(count) for name, count in lines if name == verb]


def _queue(launch: Launch, verb: str, *words: str) -> list[str]:
    folder = Path(launch.control).parents[2] / "queue"
    return ["/bin/sh", str(_SCRIPT), verb, str(folder), *words]
