"""`reference/metrics.md`: every metric that `/metrics` shows."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from _generate.markdown import note, table
from jobwire.actors.runtime.telemetry import Telemetry

_INTRODUCTION = """\
# Metrics

`GET /metrics` answers in the Prometheus text format and needs no key.
Job ids, owners and tokens are never labels.
Counters start at zero when the process starts.
Each process counts only its own work: with several processes, collect all of them and add up.

"""

_USE = """\

[Operate](../how-to/operate.md#every-metric) says what each metric shows and when to raise an alarm.
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
