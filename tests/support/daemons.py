"""Programs in the background that never outlive the tests, however these end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.servers import PATIENCE_S, STEP_S

#: Waits until whoever holds its input is gone, in whatever way; then runs a command.
_WAIT: Final = ("sh", "-c", 'cat >/dev/null; "$@"', "guard")


class Guard:
    """A process that runs a command once the tests are gone without having dismissed it."""

    def __init__(self) -> None:
        """Guard nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None

    def post(self, *command: str) -> None:
        """Wait, with a command that leaves nothing behind."""
        self._process = subprocess.Popen(
            [*_WAIT, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Go without having run it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class Daemon:
    """One program that runs in the background, as the leader of a process group."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare; nothing runs yet. What it prints goes into `<its name>.out` in the folder."""
        self._command = command
        self._folder = folder
        self._environment = environment
        self._output = folder / f"{Path(command[0]).name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = Guard()

    @property
    def pid(self) -> int:
        """The id of the process that runs, or of the last one that did."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the program; return at once."""
        assert not self.is_running, f"{self._command[0]} runs already"
        self._guard.dismiss()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard.post("kill", "-s", "KILL", "--", f"-{self.pid}")

    def stop(self) -> None:
        """Ask it to end, as an administrator would, and wait for that."""
        if self._process is not None and self.is_running:
            self.resume()
            self._process.terminate()
            self._process.wait(PATIENCE_S)
        self._guard.dismiss()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None and self.is_running:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(PATIENCE_S)
        self._guard.dismiss()

    def pause(self) -> None:
        """Stop it where it is; its connections stay open and silent. Return when it stands."""
        self._process_group(signal.SIGSTOP)
        while _state(self.pid) != "T":
            time.sleep(STEP_S)

    def resume(self) -> None:
        """Let it go on."""
        self._process_group(signal.SIGCONT)

    def _process_group(self, number: signal.Signals) -> None:
        assert self.is_running, f"{self._command[0]} does not run"
        os.killpg(self.pid, number)

    def close(self) -> None:
        """Leave nothing of it running."""
        self.kill()

    def printed(self) -> str:
        """Return what it has printed, over all its starts."""
        return self._output.read_text(errors="replace")


def _state(pid: int) -> str:
    """Return the state of a process: `R`, `S`, `T` for stopped, `Z` for ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
