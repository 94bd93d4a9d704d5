"""Answers read back as the errors that they stand for."""

from __future__ import annotations

import msgspec
import pytest

import jobwire.schemas.errors
from jobwire.schemas.errors import (
    JobwireError,
    Misconfigured,
    Unavailable,
    WebhookVerificationError,
)
from jobwire.schemas.problems import error_of

#: What a service answers: not what programs find out by themselves.
_KINDS = [
    kind
    for kind in vars(jobwire.schemas.errors).values()
    if isinstance(kind, type)
    and issubclass(kind, JobwireError)
    and kind not in (JobwireError, Misconfigured, WebhookVerificationError)
]


def _document(**fields: object) -> bytes:
    document = {
        "type": "urn:jobwire:problem:x",
        "title": "T",
        "status": 400,
        "detail": "what was wrong",
        "code": "x",
        "request_id": "0",
    }
    return msgspec.json.encode({**document, **fields})


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_is_read_back_as_itself(kind: type[JobwireError]) -> None:
    body = _document(status=kind.status, code=kind.default_code, pointer="/a", limit=3)

    error = error_of(kind.status, body, "7")

    assert type(error) is kind
    assert (error.detail, error.code, error.pointer) == (
        "what was wrong",
        kind.default_code,
        "/a",
    )
    assert (error.limit, error.retry_after_s) == (3, 7)


@pytest.mark.parametrize("retry_after", [None, "", "soon", "-1", "1.5"])
def test_a_time_to_come_back_that_is_no_number_is_none(retry_after: str | None) -> None:
    assert error_of(503, _document(), retry_after).retry_after_s is None


def test_a_problem_of_an_unknown_status_is_an_error_all_the_same() -> None:
    error = error_of(500, _document(code="internal"))

    assert type(error) is JobwireError
    assert error.code == "internal"


def test_a_service_that_is_not_ready_says_what_is_missing() -> None:
    body = msgspec.json.encode({"status": "not_ready", "missing": ["store: full", "gateway"]})

    error = error_of(503, body, "2")

    assert isinstance(error, Unavailable)
    assert (error.code, error.retry_after_s) == ("not_ready", 2)
    assert "store: full; gateway" in error.detail


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_a_service_behind_it_means_try_again(status: int) -> None:
    error = error_of(status, b"<html>", "1")

    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]"])
def test_an_answer_of_something_else_is_called_that(body: bytes) -> None:
    error = error_of(404, body)

    assert error.code == "not_jobwire"
    assert "404" in error.detail
