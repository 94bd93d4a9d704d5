"""
Submit tasks to Celery's workers and hear what becomes of them; prints the figures as JSON.

Runs in Celery's environment, beside a worker. What a task does is heard as Celery's own monitors
hear it: by the events that workers send over the broker.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from typing import Any

from tasks import app, nothing, start_true  # type: ignore[import-not-found]

_RATE = 10
#: A round takes a second or two, in which a shared machine's speed drifts.
_ROUNDS = 3
_WAIT_S = 60.0


class Monitor:
    """Notes when each task was heard to have started, and to have ended."""

    def __init__(self) -> None:
        """Begin to hear."""
        self._heard = threading.Condition()
        self._moments: dict[tuple[str, str], float] = {}
        self._ended = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with app.connection() as connection:
            handlers = {"task-started": self._note, "task-succeeded": self._note}
            app.events.Receiver(connection, handlers=handlers).capture(limit=None, timeout=None)

    def _note(self, event: dict[str, Any]) -> None:
        now = time.perf_counter()
        with self._heard:
            self._moments[event["uuid"], event["type"]] = now
            self._ended += event["type"] == "task-succeeded"
            self._heard.notify_all()

    @property
    def ended(self) -> int:
        """Tasks that have ended so far."""
        return self._ended

    def started(self, task: str) -> float:
        """Wait until a task has started; give the moment."""
        self._wait(lambda: (task, "task-started") in self._moments)
        return self._moments[task, "task-started"]

    def all_ended(self, count: int) -> float:
        """Wait until so many tasks have ended; give the moment of the last one."""
        self._wait(lambda: self._ended >= count)
        return max(self._moments.values())

    def _wait(self, condition: Any) -> None:
        with self._heard:
            if not self._heard.wait_for(condition, _WAIT_S):
                raise RuntimeError(f"not heard of within {_WAIT_S:g} s; {self._ended} ended")


def warm_up(monitor: Monitor) -> None:
    """Send tasks until the monitor hears of them: workers and monitor are connected then."""
    deadline = time.monotonic() + _WAIT_S
    sent = 0
    while monitor.ended == 0 and time.monotonic() < deadline:
        start_true.delay()
        sent += 1
        time.sleep(0.2)
    # Those before the monitor was connected are heard of by nobody.
    time.sleep(1)


def latencies(monitor: Monitor, count: int) -> list[float]:
    """Submit at a steady rate; give the seconds from sending each to hearing that it runs."""
    times = []
    began = time.perf_counter()
    for number in range(count):
        time.sleep(max(0.0, began + number / _RATE - time.perf_counter()))
        sent = time.perf_counter()
        times.append(monitor.started(start_true.delay().id) - sent)
    return times


def throughput(monitor: Monitor, task: Any, count: int) -> float:
    """Return how many tasks ended in a second, from the first submission on; the median round."""
    return statistics.median(_round(monitor, task, count) for _ in range(_ROUNDS))


def _round(monitor: Monitor, task: Any, count: int) -> float:
    before = monitor.ended
    began = time.perf_counter()
    for _ in range(count):
        task.delay()
    return count / (monitor.all_ended(before + count) - began)


def main() -> None:
    """Measure."""
    count, at_a_time = int(sys.argv[1]), int(sys.argv[2])
    monitor = Monitor()
    warm_up(monitor)
    before = monitor.ended
    times = latencies(monitor, count)
    monitor.all_ended(before + count)
    figures = {
        "starts_s": times,
        "true_per_s": throughput(monitor, start_true, at_a_time),
        "nothing_per_s": throughput(monitor, nothing, at_a_time),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
