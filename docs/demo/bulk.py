"""A collector that forwards many events, and repeats what it got no answer to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from api import Api

#: Events of one request.
_LINES = 25
_PATIENCE_S = 30.0
_ACCEPTED = 202


class Collector:
    """Sends the events of several jobs on several threads; every event has an id of its own."""

    def __init__(self, api: Api, jobs: Sequence[str], events_per_job: int) -> None:
        """Prepare the events: a start, progress, an end."""
        self._api = api
        self.sent = {job: _events(events_per_job) for job in jobs}
        self.accepted: set[tuple[str, str]] = set()
        self.repeated = 0
        self._grown = threading.Condition()
        self._threads = [
            threading.Thread(target=self._send, args=(jobs[first::4],), daemon=True)
            for first in range(4)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def wait_for(self, events: int) -> int:
        """Wait until so many events were accepted; give how many were."""
        with self._grown:
            self._grown.wait_for(lambda: len(self.accepted) >= events, _PATIENCE_S)
            return len(self.accepted)

    def finish(self) -> bool:
        """Wait for the end; say whether everything was sent."""
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        return not any(thread.is_alive() for thread in self._threads)

    def _send(self, jobs: Sequence[str]) -> None:
        sources = {job: iter(self.sent[job]) for job in jobs}
        while True:
            sent = 0
            for job, source in sources.items():
                if events := list(islice(source, _LINES)):
                    sent += 1
                    self._send_until_accepted(job, events)
            if not sent:
                return

    def _send_until_accepted(self, job: str, events: Sequence[dict[str, Any]]) -> None:
        lines = [json.dumps({"uuid": job, **event}).encode() for event in events]
        while True:
            try:
                results = self._api.post_lines(lines).lines
            except OSError:
                results = []  # no answer: stored or not, nobody knows
            with self._grown:
                self.accepted |= {
                    (job, result["id"]) for result in results if result["status"] == _ACCEPTED
                }
                self._grown.notify_all()
            if results and all(result["status"] == _ACCEPTED for result in results):
                return
            self.repeated += 1
            time.sleep(0.05)


def _events(count: int) -> list[dict[str, Any]]:
    names = ["run", *(["update"] * (count - 2)), "finish"]
    return [
        {"id": f"e-{number}", "name": name, "data": {"step": number}}
        for number, name in enumerate(names, 1)
    ]
