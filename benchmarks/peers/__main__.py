"""
Measures Prefect, Celery and Jobwire on this machine, one after the other, in one table.

What is comparable, and what is not, is in benchmarks/peers/README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.peers import celery_workers, jobwire_service, machine, prefect_server
from benchmarks.peers.row import Quantiles, Row
from tests.support.interrupts import end_by_signals
from tests.support.servers import ServerMissing

_PEERS = {
    "jobwire": jobwire_service.measure,
    "prefect": prefect_server.measure,
    "celery": celery_workers.measure,
}


def main() -> None:
    """Measure, and print a table."""
    end_by_signals()
    parser = argparse.ArgumentParser(description="Measure Jobwire beside its peers.")
    parser.add_argument("--seconds", type=float, default=10, help="length of each sustained figure")
    parser.add_argument("--only", action="append", choices=_PEERS, help="measure these only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.only or _PEERS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            rows += _PEERS[name](arguments.seconds)
        except ServerMissing as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
    described = machine.describe()
    if arguments.json:
        everything = {"machine": described, "rows": msgspec.to_builtins(rows)}
        arguments.json.write_text(json.dumps(everything, indent=2) + "\n")
    print(", ".join(f"{name} {value}" for name, value in described.items()))
    Console(width=150).print(_table(rows))


def _table(rows: list[Row]) -> Table:
    table = Table(show_lines=True)
    for head in (
        "system",
        "state changes/s",
        "p50 / p99 ms",
        "submit to running, p50 / p99 ms",
        "jobs/s (empty)",
        "what an answer stands for",
    ):
        table.add_column(head)
    for row in rows:
        empty = f" ({row.empty_jobs_per_s:,.0f})" if row.empty_jobs_per_s else ""
        table.add_row(
            row.system,
            _number(row.changes_per_s),
            _pair(row.change),
            _pair(row.start),
            _number(row.jobs_per_s) + empty,
            row.durability,
        )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _pair(value: Quantiles | None) -> str:
    return "-" if value is None else str(value)


if __name__ == "__main__":
    main()
