"""Celery's workers on RabbitMQ: tasks from their submission to running, and how many."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.environments import INSIDE, Environment
from benchmarks.peers.row import Row, quantiles
from tests.support.daemons import Daemon
from tests.support.rabbitmq import RabbitServer

_TASKS: Final = 500
_WORKERS: Final = 8

_DEFAULTS: Final = (
    "persistent messages; no publisher confirms, acknowledged before it runs, no result backend: "
    "a dying broker or worker may lose tasks"
)
_CAREFUL: Final = (
    "persistent messages, publisher confirms, acknowledged after it ran, so it may run twice; "
    "what became of it is kept nowhere"
)


def measure(seconds: float) -> Iterator[Row]:
    """Measure Celery as it comes, and set as careful as it can be."""
    environment = Environment("celery")
    yield _measure(environment, "defaults", _DEFAULTS, {}, seconds)
    yield _measure(environment, "careful", _CAREFUL, {"PEERS_CAREFUL": "1"}, seconds)


def _measure(
    environment: Environment,
    name: str,
    durability: str,
    settings: Mapping[str, str],
    seconds: float,
) -> Row:
    starts = max(50, int(seconds * 10))
    with _broker() as broker:
        variables = {"PATH": os.environ["PATH"], "PEERS_BROKER": broker.url, **settings}
        with _workers(environment, variables):
            measured = _submit(environment, variables, starts)
        queue, version = _queue(broker), broker.ctl("version").strip()
    return Row(
        system=f"{environment.version}, RabbitMQ {version}, {name}",
        durability=f"{queue}, {durability}",
        start=quantiles(measured["starts_s"]),
        jobs_per_s=measured["true_per_s"],
        empty_jobs_per_s=measured["nothing_per_s"],
    )


@contextmanager
def _broker() -> Iterator[RabbitServer]:
    """Run a broker whose data is on disk."""
    server = RabbitServer(Path(tempfile.mkdtemp(prefix="jobwire-peers-")))
    try:
        server.start()
        yield server
    finally:
        server.close()


def _queue(broker: RabbitServer) -> str:
    """Describe what the broker itself knows of the queue of tasks."""
    queues = broker.queues(broker.url, "name", "type", "durable")
    (tasks,) = (queue for queue in queues if queue["name"] == "celery")
    return f"{tasks['type']} queue, {'durable' if tasks['durable'] else 'not durable'}"


@contextmanager
def _workers(environment: Environment, variables: Mapping[str, str]) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="jobwire-peers-") as temporary:
        command = (
            *(str(environment.command("celery")), "--workdir", str(INSIDE), "--app", "tasks"),
            *("worker", "--concurrency", str(_WORKERS), "--loglevel", "ERROR"),
        )
        workers = Daemon(command, Path(temporary), {**variables, "C_FORCE_ROOT": "1"})
        workers.start()
        try:
            yield
        finally:
            workers.stop()


def _submit(environment: Environment, variables: Mapping[str, str], starts: int) -> Any:
    done = subprocess.run(
        [environment.command("python"), INSIDE / "submit.py", str(starts), str(_TASKS)],
        env=dict(variables),
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)
