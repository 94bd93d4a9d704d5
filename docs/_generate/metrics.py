"""`reference/metrics.md`: every metric that `/metrics` shows."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from _generate.markdown import note, table
from actors.runtime.telemetry import Telemetry

_INTRODUCTION = """\
# Metrics

`GET /metrics` answers in the Prometheus text form and needs no key.
Job ids, owners and tokens are never labels.
Counters begin at zero when the process starts.

"""

_USE = """\

## What to watch

- `jobwire_events_accepted_total` against `jobwire_events_stored_total`: what is accepted is stored,
  known already (`jobwire_events_duplicate_total`) or refused (`jobwire_events_refused_total`).
- `jobwire_requests_refused_total` by `code`: a rise of one code names the client's mistake;
  see [errors](errors.md). The code `internal` is a fault of the service: report it.
- `jobwire_batch_seconds`: time of one commit. When it grows, the disk is slow.
- `jobwire_stale_jobs_total`: jobs that went silent.
- `jobwire_commands_sent_total` by `kind`: what workers were asked to do, repetitions included.
- `jobwire_callbacks_attempted_total` by `result`: a rise of one that is not `delivered` is a
  receiver in trouble; `jobwire_callbacks_gave_up_total`: messages that only
  [sending again by hand](../how-to/receive-callbacks.md#look-and-send-again) will bring.
"""


def metrics_page() -> str:
    """Write the page."""
    rows = sorted(_rows(Telemetry()))
    return (
        note("actors/runtime/telemetry.py")
        + "\n"
        + _INTRODUCTION
        + table(["metric", "type", "labels", "meaning"], rows)
        + _USE
    )


def _rows(telemetry: Telemetry) -> Iterator[list[str]]:
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = metric._labelnames  # noqa: SLF001 - shown nowhere else before a first use
            yield [
                f"`{name}`",
                family.type,
                ", ".join(f"`{label}`" for label in labels),
                family.documentation,
            ]
