"""Callbacks, verified by those who receive them, in the form of Standard Webhooks."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec

from jobwire.schemas.deliveries import SECRET_HEAD, WebhookMessage
from jobwire.schemas.errors import Misconfigured, WebhookVerificationError

_ID: Final = "webhook-id"
_TIMESTAMP: Final = "webhook-timestamp"
_SIGNATURE: Final = "webhook-signature"
#: Seconds since 1970, in as many digits as a time can have.
_SECONDS = re.compile(r"[0-9]{1,12}")

_decoder = msgspec.json.Decoder(WebhookMessage)


def verify_webhook(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_s: float = 300.0,
    now: datetime | None = None,
) -> WebhookMessage:
    """
    Verify the signature of a callback, and return its message.

    Args:
        secret: the secret of the callback; several while one replaces another.
        headers: of the request, in either case.
        body: of the request, as its bytes came.
        tolerance_s: how far its time stamp may be from now, in either direction.
        now: the time of this machine, unless another one is given.

    Raises:
        WebhookVerificationError: it is not genuine, not of now, or not in Jobwire's own form.
        Misconfigured: a secret is not one.

    """
    keys = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise Misconfigured("no webhook secret is given; one is needed to verify callbacks")
    sent = {name.lower(): value for name, value in headers.items()}
    _check_time(_required(sent, _TIMESTAMP), now or datetime.now(UTC), tolerance_s)
    signed = f"{_required(sent, _ID)}.{sent[_TIMESTAMP]}.".encode(errors="replace") + body
    _check_signature(keys, signed, _required(sent, _SIGNATURE))
    try:
        return _decoder.decode(body)
    except ValueError as error:  # msgspec's own, and that of text that is not UTF-8
        detail = (
            f"the callback is genuine, but not in the expected format ({error}); jobs created "
            "through a dialect send callbacks in that dialect's format"
        )
        raise WebhookVerificationError(detail, code="unknown_form") from error


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.removeprefix(SECRET_HEAD), validate=True)
    except ValueError:
        key = b""
    if not key:
        detail = f"a webhook secret is not one; expected {SECRET_HEAD} and bytes in base-64"
        raise Misconfigured(detail)
    return key


def _required(headers: Mapping[str, str], name: str) -> str:
    if not (value := headers.get(name, "")):
        raise WebhookVerificationError(f"the header {name} is missing; every callback has it")
    return value


def _check_time(text: str, now: datetime, tolerance_s: float) -> None:
    if not _SECONDS.fullmatch(text):
        raise WebhookVerificationError(f"the header {_TIMESTAMP} is not a number of seconds")
    off_s = abs(now.timestamp() - int(text))
    if off_s > tolerance_s:
        detail = (
            f"the time stamp of the callback is {off_s:.0f} s off this machine's clock; at most "
            f"{tolerance_s:g} s are allowed, because an old message may be sent again by anybody"
        )
        raise WebhookVerificationError(detail, code="webhook_not_of_now")


def _check_signature(keys: Sequence[bytes], signed: bytes, given: str) -> None:
    expected = [b"v1," + b64encode(hmac.digest(key, signed, sha256)) for key in keys]
    signatures = given.encode(errors="replace").split()
    # Every pair is compared, so that the time that it takes tells nothing.
    matches = [hmac.compare_digest(one, other) for one in signatures for other in expected]
    if not any(matches):
        detail = "no signature of the callback fits the secret and the bytes of its body"
        raise WebhookVerificationError(detail)
