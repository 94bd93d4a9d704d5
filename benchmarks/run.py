"""
Measures the figures of benchmarks/README.md, each beside its bare limit in the same run.

The machine is shared with the load generator and is often noisy: the ratio counts. `--seconds`
shortens the run; `--only` names figures; `--before` names the source of an older release, which
the event path is held against.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import cluster, dialects, events, runs
from benchmarks.figures import Figure
from tests.support.interrupts import end_by_signals

FIGURES: dict[str, Callable[[float], Figure]] = {
    **events.FIGURES,
    **runs.FIGURES,
    **cluster.FIGURES,
    **dialects.FIGURES,
}


def main() -> None:
    """Measure, and print a table."""
    end_by_signals()
    parser = argparse.ArgumentParser(description="Measure Jobwire on this machine.")
    parser.add_argument("--seconds", type=float, default=60, help="length of each sustained figure")
    parser.add_argument("--only", action="append", choices=FIGURES, help="measure these only")
    parser.add_argument("--before", type=Path, help="source of an older release to compare with")
    arguments = parser.parse_args()
    table = Table(title=f"Jobwire, {arguments.seconds:g} s for each sustained figure")
    heads = ("figure", "measured", "bare limit in the same run", "ratio", "at least", "aim", "")
    for head in heads:
        table.add_column(head)
    measured = {name: FIGURES[name] for name in arguments.only or FIGURES}
    if arguments.before:
        measured["before"] = lambda seconds: events.against(arguments.before, seconds)
    for name, measure in measured.items():
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figure = measure(arguments.seconds)
        table.add_row(*figure[:-1], "met" if figure.met else "not met")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
