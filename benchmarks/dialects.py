"""Figures of foreign dialects: what another language costs over the native one."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from benchmarks.events import load
from benchmarks.figures import Figure, middle, rounds
from benchmarks.load import Plan
from benchmarks.service import Service, service

_CLIENTS = 64
_JOBS = 200
_SETTINGS = {"JOBWIRE_DIALECTS__PIPELINEJOBS__ENABLED": "true"}
_PATH = "/compat/pipelinejobs/actors/v2/jobs-manager/messages"


def pipelinejobs_events(seconds: float, *, with_key: bool = False) -> Figure:
    """
    Messages of the PipelineJobs dialect against native events that are waited for.

    A message has to carry an API key (or a nonce) beside the job's token; a native event needs the
    token only, so `with_key` tells what of the difference the key is.
    """
    with service(settings=_SETTINGS) as running:
        jobs = running.running_jobs(_JOBS)

        def messages(_number: int, part: float) -> float:
            return _rate(replace(_plan(running, jobs, part), path=_PATH))

        def natively(part: float) -> float:
            plan = replace(_plan(running, jobs, part), wait=True)
            return _rate(plan if with_key else replace(plan, key=""))

        pairs = rounds(seconds, messages, natively)
    ratio = statistics.median(measured / native for measured, native in pairs)
    return Figure(
        "PipelineJobs messages, 64 clients",
        f"{middle(pairs, 0):,.0f} events/s",
        f"native events with wait{' and key' if with_key else ''} {middle(pairs, 1):,.0f}/s",
        f"{ratio:.0%}",
        "85 %",
        "95 %",
        ratio >= 0.85,
    )


def _plan(running: Service, jobs: list[tuple[str, str]], seconds: float) -> Plan:
    """Plan the same bodies for both: with the job's token, and no id of their own."""
    return Plan(
        host=running.host,
        port=running.port,
        seconds=seconds,
        connections=_CLIENTS,
        jobs=jobs,
        key=running.key,
        ids=False,
    )


def _rate(plan: Plan) -> float:
    result = load(plan)
    return float((result["requests"] - result["failures"]) / result["seconds"])


FIGURES: dict[str, Callable[[float], Figure]] = {
    "pipelinejobs": pipelinejobs_events,
    "pipelinejobs-key": partial(pipelinejobs_events, with_key=True),
}
