"""Answers of the native API: the JSON that clients see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Raw

from jobwire.actors.dialects.answers import answer, page
from jobwire.actors.dialects.problems import encode, problem, problem_document
from jobwire.actors.operations.jobs import Origin
from jobwire.schemas.deliveries import Subscription, shown_url
from jobwire.schemas.jobs import Ending, Entry, Job, Refusal
from jobwire.schemas.views import (
    CallbackView,
    EntryView,
    FullJobView,
    JobView,
    NewCallbackView,
    RefusalView,
)

__all__ = [
    "answer",
    "encode",
    "entry_view",
    "full_job_view",
    "job_view",
    "new_callback_view",
    "page",
    "problem",
    "problem_document",
    "raw",
    "refusal_view",
]

_NULL = Raw(b"null")
_NO_ENDING = Ending()
_OF_ENDING = Ending.__struct_fields__
_OF_JOB = [name for name in JobView.__struct_fields__ if name not in _OF_ENDING]


def entry_view(entry: Entry) -> EntryView:
    """Show an entry."""
    return EntryView(
        entry.seq,
        entry.id,
        entry.job,
        entry.name,
        entry.state,
        entry.outcome,
        entry.applied,
        entry.reason,
        raw(entry.data),
        entry.source,
        entry.received,
        entry.occurred,
    )


def job_view(job: Job) -> JobView:
    """Show a job in a list."""
    return JobView(**_shown(job))


def full_job_view(job: Job, origin: Origin, callbacks: Sequence[Subscription]) -> FullJobView:
    """Show one job with what it was made with."""
    return FullJobView(
        **_shown(job),
        data=raw(origin.data),
        spec=origin.spec,
        callbacks=tuple(CallbackView(**_callback(each)) for each in callbacks),
    )


def new_callback_view(subscription: Subscription, *, is_repeat: bool) -> NewCallbackView:
    """Show a new callback to its creator; a secret only if the service generated it now."""
    is_new = subscription.made and not is_repeat
    return NewCallbackView(
        **_callback(subscription), secret=subscription.secret if is_new else None
    )


def _shown(job: Job) -> dict[str, Any]:
    ending = job.ending or _NO_ENDING
    of_job = {name: getattr(job, name) for name in _OF_JOB}
    of_ending = {name: getattr(ending, name) for name in _OF_ENDING}
    return of_job | of_ending | {"native": job.native or UNSET}


def _callback(subscription: Subscription) -> dict[str, Any]:
    interest = subscription.interest
    return {
        "id": subscription.id,
        "url": shown_url(subscription.url),
        "states": interest.states,
        "outcomes": interest.outcomes,
        "events": interest.events,
    }


def refusal_view(refusal: Refusal) -> RefusalView:
    """Show a refused event."""
    return RefusalView(
        job=refusal.job,
        id=refusal.event,
        name=refusal.name,
        reason=refusal.reason,
        data=raw(refusal.data),
        source=refusal.source,
        received=refusal.received,
        occurred=refusal.occurred,
        replayed_as=refusal.replayed_as,
    )


def raw(data: bytes | None) -> Raw:
    """Put stored JSON text into an answer as it is."""
    return _NULL if data is None else Raw(data)
