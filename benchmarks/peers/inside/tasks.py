"""The tasks, and how careful Celery is with them. Runs in Celery's environment."""

from __future__ import annotations

import os
import subprocess

from celery import Celery  # type: ignore[import-not-found]

#: What Celery offers against the loss of tasks when a worker or the broker dies; no defaults.
_CAREFUL = {
    "broker_transport_options": {"confirm_publish": True},
    "task_default_queue_type": "quorum",
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
}

app = Celery("tasks", broker=os.environ["PEERS_BROKER"])
app.conf.update(worker_send_task_events=True, broker_connection_retry_on_startup=True)
if os.environ.get("PEERS_CAREFUL"):
    app.conf.update(_CAREFUL)


@app.task(ignore_result=True)  # type: ignore[untyped-decorator]
def start_true() -> None:
    """Start `/bin/true` and wait for it."""
    subprocess.run(["/bin/true"], check=True)


@app.task(ignore_result=True)  # type: ignore[untyped-decorator]
def nothing() -> None:
    """Do nothing."""
