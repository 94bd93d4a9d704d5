"""
Metrics of one process, in the Prometheus form.

Nothing is counted once per event where a batch will do.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Telemetry:
    """The metrics that all actors of a process share; job ids are never labels."""

    def __init__(self) -> None:
        """Make all metrics, at zero."""
        self.registry = CollectorRegistry()
        self.events_accepted = self._counter(
            "jobwire_events_accepted", "Events answered 2xx by the gateway"
        )
        self.events_stored = self._counter(
            "jobwire_events_stored", "Entries written to the history", "applied"
        )
        self.events_duplicate = self._counter(
            "jobwire_events_duplicate", "Repetitions of known events"
        )
        self.events_conflict = self._counter(
            "jobwire_events_conflict", "Events under a known id with another payload"
        )
        self.events_refused = self._counter(
            "jobwire_events_refused", "Accepted events that belong to no history", "reason"
        )
        self.requests_refused = self._counter(
            "jobwire_requests_refused", "Requests answered 4xx or 5xx", "code"
        )
        self.stale_jobs = self._counter("jobwire_stale_jobs", "Jobs that the reaper found stale")
        self.commands_sent = self._counter(
            "jobwire_commands_sent", "Commands published to workers", "kind"
        )
        self.callbacks_attempted = self._counter(
            "jobwire_callbacks_attempted", "Tries to deliver a callback", "result"
        )
        self.callbacks_gave_up = self._counter(
            "jobwire_callbacks_gave_up", "Deliveries that were given up", "reason"
        )
        self.callbacks_seconds = self._histogram(
            "jobwire_callbacks_seconds",
            "Time of one try to deliver a callback",
            (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15),
        )
        self.callbacks_in_hand = self._gauge("jobwire_callbacks_in_hand", "Tries in progress")
        self.batch_events = self._histogram(
            "jobwire_batch_events", "Events in one commit", (1, 4, 16, 64, 256, 1000)
        )
        self.batch_seconds = self._histogram(
            "jobwire_batch_seconds",
            "Time from taking a batch to its commit",
            (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
        )
        self.streams_open = self._gauge("jobwire_streams_open", "Open event streams")
        self.messages_accepted = self._counter(
            "jobwire_messages_accepted", "Messages on the bus that became events"
        )
        self.messages_refused = self._counter(
            "jobwire_messages_refused", "Messages on the bus that became dead letters", "code"
        )

        self.backlog_seconds = Gauge(
            "jobwire_backlog_seconds",
            "Age of the oldest packet that was sent and is not stored yet",
            registry=self.registry,
        )

    def render(self) -> bytes:
        """Write all metrics as text; takes long enough to belong on a thread."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, registry=self.registry, buckets=buckets)
