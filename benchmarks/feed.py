"""Follows all jobs of a service and notes when each entry was heard."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any, Self

from benchmarks.service import Service


class Feed:
    """The stream of all jobs, read on a thread of its own."""

    def __init__(self, running: Service) -> None:
        """Connect; entries are heard from the first `with` on."""
        self._running = running
        self._line = socket.create_connection((running.host, running.port))
        self._heard = threading.Condition()
        self.moments: dict[tuple[str, str], float] = {}
        """When each state of each job was heard of, by (job id, state); monotonic seconds."""
        self.ended = 0

    def __enter__(self) -> Self:
        """Begin to hear."""
        request = "GET /v1/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\r\n"
        self._line.sendall(request.format(self._running.key).encode())
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hear no more."""
        self._line.close()

    def wait(self, ended: int, within_s: float) -> float:
        """Wait until so many jobs have ended; give the moment of the last one."""
        with self._heard:
            if not self._heard.wait_for(lambda: self.ended >= ended, within_s):
                message = f"{self.ended} of {ended} jobs ended in {within_s:g} s"
                raise RuntimeError(message)
        return max(self.moments.values())

    def wait_for(self, job: str, state: str, within_s: float = 60.0) -> float:
        """Wait until a job is in a state; give the moment."""
        with self._heard:
            if not self._heard.wait_for(lambda: (job, state) in self.moments, within_s):
                message = f"{job} was not {state} in {within_s:g} s"
                raise RuntimeError(message)
        return self.moments[job, state]

    def _read(self) -> None:
        """Read lines as they come; the framing of the chunks is on lines of its own."""
        rest = b""
        while True:
            try:
                read = self._line.recv(65_536)
            except OSError:
                return  # closed
            now = time.perf_counter()
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    self._note(json.loads(line[5:]), now)
            if not read:
                return

    def _note(self, entry: Any, now: float) -> None:
        if "state" not in entry:
            return
        with self._heard:
            fresh = (entry["job"], entry["state"]) not in self.moments
            self.moments.setdefault((entry["job"], entry["state"]), now)
            self.ended += fresh and entry["outcome"] is not None
            self._heard.notify_all()
