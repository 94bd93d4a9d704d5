"""
Only type-checked, never run: pins the Python interface, `from jobwire import ...`.

A change here is a change for every program that uses it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, assert_type

from msgspec import Raw

from jobwire import (
    Accepted,
    Callback,
    Client,
    Control,
    ControlledView,
    CreatedView,
    DeliveryStatus,
    DeliveryView,
    EntryView,
    FileView,
    FullJobView,
    JobOutcome,
    JobView,
    JobwireError,
    KeyView,
    Lifecycle,
    LineResult,
    NewEvent,
    NewKeyView,
    OutcomeView,
    RecoveredView,
    RefusalView,
    RotatedView,
    Scope,
    SelectedView,
    Spec,
    StatsView,
    SyncClient,
    Tail,
    Unavailable,
    Upgrading,
    WebhookData,
    WebhookMessage,
    verify_webhook,
)


class CreateJob(Protocol):
    """How a job is made, awaited or not."""

    def __call__(
        self,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        lifecycle: str | None = None,
        data: Any = None,
        deadline_s: float | None = None,
        heartbeat_s: float | None = None,
        parent: str | None = None,
        callbacks: Sequence[Callback] = (),
        spec: Spec | Mapping[str, Any] | None = None,
        start_after: datetime | None = None,
        priority: int | None = None,
        hold: bool = False,
        idempotency_key: str | None = None,
    ) -> CreatedView:
        """Make it."""


async def verbs(client: Client, moment: datetime, control: Control, callback: Callback) -> None:
    """Pin what every verb returns."""
    async with client as jobwire:
        assert_type(jobwire, Client)
    assert_type(await Client("url", "key", patience_s=1.0, on_retry=on_retry).open(), Client)
    assert_type(await client.close(), None)
    assert_type(await client.create_job(callbacks=[callback], spec={}), CreatedView)
    assert_type(await client.submit({}, idempotency_key="k"), CreatedView)
    assert_type(await client.job("j"), FullJobView)
    assert_type(client.jobs(outcome="success", since=moment), AsyncGenerator[JobView, None])
    assert_type(client.history("j", page=1), AsyncGenerator[EntryView, None])
    assert_type(client.stream("j", after="p"), AsyncGenerator[EntryView, None])
    assert_type(await client.delete("j", force=True), None)
    assert_type(await client.rotate_token("j", overlap_s=1.0), RotatedView)
    assert_type(await client.revoke_tokens("j"), None)
    assert_type(await client.stats(), StatsView)
    assert_type(await client.post_event("j", "run", wait_s=1.0), OutcomeView | Accepted)
    assert_type(await client.post_events([NewEvent(uuid="j", name="run")]), list[LineResult])
    assert_type(client.refused(), AsyncGenerator[RefusalView, None])
    assert_type(await client.replay("j", "e"), OutcomeView)
    assert_type(await client.cancel("j"), ControlledView)
    assert_type(await client.hold("j"), ControlledView)
    assert_type(await client.release("j"), ControlledView)
    assert_type(await client.control_many(control, ids=["j"]), SelectedView)
    assert_type(await client.retry("j"), CreatedView)
    assert_type(client.files("j", attempt=1), AsyncGenerator[FileView, None])
    assert_type(client.read_file("j", "stdout", follow=True), AsyncGenerator[bytes, None])
    assert_type(await client.tail_file("j", "stdout", 10), Tail)
    assert_type(client.deliveries("j", status="pending"), AsyncGenerator[DeliveryView, None])
    assert_type(await client.delivery("d"), DeliveryView)
    assert_type(await client.redeliver("d"), DeliveryView)
    assert_type(await client.recover_deliveries(moment), RecoveredView)
    assert_type(client.lifecycles(), AsyncGenerator[Lifecycle, None])
    assert_type(await client.lifecycle("l", 1), Lifecycle)
    assert_type(await client.register_lifecycle(Raw(b"{}")), Lifecycle)
    assert_type(client.keys(), AsyncGenerator[KeyView, None])
    assert_type(await client.create_key("p", scopes=("read",)), NewKeyView)
    assert_type(await client.revoke_key("k"), KeyView)
    assert_type(await client.check_ready(), None)
    assert_type(await client.request("GET", "/v1/stats", StatsView), StatsView)
    assert_type(client.pages("/v1/keys", KeyView), AsyncGenerator[KeyView, None])


def synchronous(client: SyncClient, moment: datetime) -> None:
    """Pin that the verbs are the same, without `await`."""
    with SyncClient("url", "key", patience_s=1.0, on_retry=on_retry) as jobwire:
        assert_type(jobwire, SyncClient)
    assert_type(client.open(), SyncClient)
    assert_type(client.close(), None)
    create: CreateJob = client.create_job
    assert_type(create(name="fit"), CreatedView)
    assert_type(client.job("j"), FullJobView)
    assert_type(client.jobs(since=moment, page=1), Generator[JobView, None, None])
    assert_type(client.stream("j"), Generator[EntryView, None, None])
    assert_type(client.post_event("j", "run", wait_s=1.0), OutcomeView | Accepted)
    assert_type(client.post_events([NewEvent(uuid="j", name="run")]), list[LineResult])
    assert_type(client.read_file("j", "stdout", follow=True), Generator[bytes, None, None])
    assert_type(client.cancel("j"), ControlledView)
    assert_type(client.request("GET", "/v1/stats", StatsView), StatsView)
    assert_type(client.pages("/v1/keys", KeyView), Generator[KeyView, None, None])
    client.cancel(1)  # type: ignore[arg-type]
    client.create_job("fit")  # type: ignore[call-arg]


def is_it_an_upgrade(error: Unavailable) -> None:
    if isinstance(error, Upgrading):
        assert_type(error, Upgrading)


def on_retry(error: JobwireError, pause_s: float) -> None:
    """Pin what is told of a retry."""
    assert_type((error.code, error.detail, error.retry_after_s), tuple[str, str, int | None])
    assert_type(pause_s, float)


def records(
    job: FullJobView, entry: EntryView, created: CreatedView, scope: Scope, status: DeliveryStatus
) -> None:
    """Pin the fields that most programs read."""
    assert_type(job.outcome, JobOutcome | None)
    assert_type((job.state, job.exit_code, job.tags), tuple[str, int | None, tuple[str, ...]])
    assert_type((entry.seq, entry.name, entry.state, entry.data), tuple[int, str, str, Raw])
    assert_type((created.token, created.webhook), tuple[str, str])
    words: tuple[str, ...] = (job.id, entry.id, scope, status)
    assert_type(words, tuple[str, ...])


def webhooks(headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Pin the verification of callbacks."""
    message = verify_webhook("whsec_", headers, body)
    assert_type(message, WebhookMessage)
    assert_type(message.data, WebhookData)
    assert_type(
        verify_webhook(["new", "old"], headers, body, tolerance_s=1, now=now), WebhookMessage
    )
