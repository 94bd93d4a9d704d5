"""Figures of foreign dialects: what another language costs over the native one."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from msgspec.structs import replace

from benchmarks.events import load
from benchmarks.figures import Figure, middle, rounds
from benchmarks.load import Plan
from benchmarks.service import Service, service

_CLIENTS = 64
_JOBS = 200
_SETTINGS = {"JOBWIRE_DIALECTS__PIPELINEJOBS__ENABLED": "true"}
_PATH = "/compat/pipelinejobs/actors/v2/jobs-manager/messages"


def pipelinejobs_events(seconds: float) -> Figure:
    """Messages of the PipelineJobs dialect against native events that are waited for."""
    with service(settings=_SETTINGS) as running:
        jobs = running.running_jobs(_JOBS)

        def messages(_number: int, part: float) -> float:
            return _rate(replace(_plan(running, jobs, part), path=_PATH))

        def natively(part: float) -> float:
            return _rate(replace(_plan(running, jobs, part), wait=True))

        pairs = rounds(seconds, messages, natively)
    ratio = statistics.median(measured / native for measured, native in pairs)
    return Figure(
        "PipelineJobs messages, 64 clients",
        f"{middle(pairs, 0):,.0f} events/s",
        f"native events with wait {middle(pairs, 1):,.0f}/s",
        f"{ratio:.0%}",
        "85 %",
        "95 %",
        ratio >= 0.85,
    )


def _plan(running: Service, jobs: list[tuple[str, str]], seconds: float) -> Plan:
    """Plan the same bodies for both: with the token, the API key, and no id of their own."""
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


FIGURES: dict[str, Callable[[float], Figure]] = {"pipelinejobs": pipelinejobs_events}
