"""`verify_webhook` takes what is signed as Standard Webhooks has it, and refuses the rest."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from jobwire import Misconfigured, Unauthorized, WebhookVerificationError, verify_webhook

_NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
_SECRET = "whsec_" + b64encode(b"k" * 32).decode()
_OTHER = "whsec_" + b64encode(b"o" * 32).decode()
_BODY = json.dumps(
    {
        "type": "job.finish",
        "timestamp": "2026-11-30T11:59:59.500000Z",
        "of_a_newer_release": 1,
        "data": {
            "job": "5030da6a-978b-4ced-9c7d-8335f89e5379",
            "name": "fit",
            "tags": ["nightly"],
            "lifecycle": "pipeline",
            "event": "finish",
            "event_id": "e1",
            "seq": 4,
            "state": "FINISHED",
            "outcome": "success",
            "attempt": 1,
            "cause": None,
            "exit_code": None,
            "signal": None,
            "detail": None,
            "data": {"reads": 40712},
            "source": None,
            "occurred": None,
        },
    }
).encode()


def _headers(
    body: bytes = _BODY, at: datetime = _NOW, changed: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Sign as the library of Standard Webhooks does."""
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(_SECRET).sign("msg_1", at, body.decode()),
    }
    return headers | dict(changed)


def test_a_genuine_message_is_returned_as_a_record() -> None:
    message = verify_webhook(_SECRET, _headers(), _BODY, now=_NOW)

    assert (message.type, message.timestamp.microsecond) == ("job.finish", 500_000)
    assert (message.data.state, message.data.seq, message.data.tags) == (
        "FINISHED",
        4,
        ("nightly",),
    )
    assert bytes(message.data.data) == b'{"reads": 40712}'


def test_without_a_time_the_clock_of_the_machine_counts() -> None:
    now = datetime.now(UTC).replace(microsecond=0)

    assert verify_webhook(_SECRET, _headers(at=now), _BODY).type == "job.finish"
    with pytest.raises(WebhookVerificationError, match="off this machine's clock"):
        verify_webhook(_SECRET, _headers(at=now - timedelta(hours=1)), _BODY)


def test_the_vector_of_the_specification_is_taken() -> None:
    """`whsec_MfKQ...`, of https://www.standardwebhooks.com; only its body has another form."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    now = datetime.fromtimestamp(1614265330, UTC)

    with pytest.raises(WebhookVerificationError) as refused:
        verify_webhook(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, b'{"test": 2432232314}', now=now
        )

    assert refused.value.code == "unknown_form"


def test_headers_are_taken_in_either_case() -> None:
    headers = {name.title(): value for name, value in _headers().items()}

    assert verify_webhook(_SECRET, headers, _BODY, now=_NOW).type == "job.finish"


def test_any_of_several_secrets_and_any_of_several_signatures_is_enough() -> None:
    both = f"v1,AAAA v1a,xyz {_headers()['webhook-signature']}"

    assert verify_webhook([_OTHER, _SECRET], _headers(), _BODY, now=_NOW).data.seq == 4
    headers = _headers(changed={"webhook-signature": both})
    assert verify_webhook(_SECRET, headers, _BODY, now=_NOW).data.seq == 4
    with pytest.raises(WebhookVerificationError, match="no signature"):
        verify_webhook([_OTHER], _headers(), _BODY, now=_NOW)


@pytest.mark.parametrize("off_s", [-300, 300])
def test_a_message_may_be_as_old_or_early_as_the_tolerance(off_s: int) -> None:
    headers = _headers(at=_NOW + timedelta(seconds=off_s))

    assert verify_webhook(_SECRET, headers, _BODY, now=_NOW).data.seq == 4
    with pytest.raises(WebhookVerificationError) as refused:
        verify_webhook(_SECRET, headers, _BODY, now=_NOW, tolerance_s=299)
    assert refused.value.code == "webhook_not_of_now"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"webhook-signature": ""}, "webhook-signature is missing"),
        ({"webhook-timestamp": ""}, "webhook-timestamp is missing"),
        ({"webhook-id": ""}, "webhook-id is missing"),
        ({"webhook-id": "msg_2"}, "no signature"),
        ({"webhook-id": "msg_\udcff"}, "no signature"),
        ({"webhook-timestamp": "now"}, "not a number of seconds"),
        ({"webhook-timestamp": "9" * 5_000}, "not a number of seconds"),
        ({"webhook-timestamp": "\u0661"}, "not a number of seconds"),
        ({"webhook-signature": "garbage"}, "no signature"),
        ({"webhook-signature": "v1,a,b"}, "no signature"),
        ({"webhook-signature": "v1,\xe4\ud800"}, "no signature"),
    ],
)
def test_what_is_not_genuine_is_refused_in_words(changed: Mapping[str, str], expected: str) -> None:
    with pytest.raises(WebhookVerificationError, match=expected) as refused:
        verify_webhook(_SECRET, _headers(changed=changed), _BODY, now=_NOW)

    assert isinstance(refused.value, Unauthorized)


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(WebhookVerificationError, match="no signature"):
        verify_webhook(_SECRET, _headers(), _BODY.replace(b"success", b"failure"), now=_NOW)


@pytest.mark.parametrize("body", [b"no json", b'{"type":"\xc3\xbc', b"[]"])
def test_a_genuine_body_of_another_form_is_refused_too(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError) as refused:
        verify_webhook(_SECRET, _headers(body), body, now=_NOW)

    assert refused.value.code == "unknown_form"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_no base-64!", "ä", []])
def test_a_secret_that_is_none_verifies_nothing(secret: str | list[str]) -> None:
    with pytest.raises(Misconfigured) as wrong:
        verify_webhook(secret, _headers(), _BODY, now=_NOW)

    assert "no base-64" not in wrong.value.detail


@given(st.text(), st.text(), st.text(), st.binary())
def test_nothing_else_than_the_one_error_comes_out(
    name: str, time: str, signature: str, body: bytes
) -> None:
    headers = {"webhook-id": name, "webhook-timestamp": time, "webhook-signature": signature}

    with pytest.raises(WebhookVerificationError):
        verify_webhook(_SECRET, headers, body)
