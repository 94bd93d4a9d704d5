"""One try: sign, send, and say what the answer means."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import Literal, NamedTuple

import aiohttp
from standardwebhooks import Webhook
from yarl import URL

from jobwire.actors.dialects.base import Signer
from jobwire.actors.notifier.schedule import read_retry_after
from jobwire.actors.runtime.egress import Denied, Egress
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.schemas.deliveries import Attempt, Delivery, Subscription
from jobwire.schemas.errors import Invalid

Result = Literal["delivered", "refused", "slow_down", "gone", "unreachable", "timeout", "denied"]
"""
What came of a try. `refused`: an answer that is no success, a redirect too; `slow_down`: one that
asks to come back later; `gone`: 410, the address is no receiver any more; `denied`: it leads to an
address that may not be called.
"""

#: Most of an answer that is read: only so that its connection can be used again.
_ANSWER_BYTES = 65_536
#: How long the rest of an answer may take once it is known that it counts.
_REST_S = 1.0
_SLOW_DOWN = (429, 502, 503, 504)
_GONE = 410
_UNAUTHORIZED = 401
#: Answers below 500 that ask for another try.
_TRY_AGAIN = (_UNAUTHORIZED, 408, 425, 429)


class AttemptResult(NamedTuple):
    """One try and what it means."""

    attempt: Attempt
    result: Result
    asked_s: float | None = None
    """The pause that the receiver asks for."""


class CallbackSender:
    """Sends messages over one session."""

    def __init__(
        self,
        egress: Egress,
        session: aiohttp.ClientSession,
        *,
        timeout_s: float,
        clock: Callable[[], datetime],
        signers: Mapping[str, Signer],
    ) -> None:
        """Limit each attempt to `timeout_s`; `signers` authorize notices that name one."""
        self._signers = signers
        self._egress = egress
        self._session = session
        self._timeout_s = timeout_s
        self._clock = clock

    async def send(self, delivery: Delivery, subscription: Subscription) -> AttemptResult:
        """Try once; whatever goes wrong at the receiver is an answer, not an error."""
        at, started = self._clock(), perf_counter()
        failpoint("notifier.before_send")
        status: int | None = None
        asked_s: float | None = None
        try:
            status, asked_s = await self._post(delivery, subscription, at)
            result, error = _meaning(status, lenient=delivery.lenient)
        except (Invalid, aiohttp.InvalidURL) as refused:
            result, error = "denied", str(refused)
        except TimeoutError:
            result, error = "timeout", f"no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            result, error = _failure(failed)
        failpoint("notifier.after_send")
        duration_s = round(perf_counter() - started, 6)
        return AttemptResult(Attempt(at, duration_s, status, error), result, asked_s)

    async def _post(
        self, delivery: Delivery, subscription: Subscription, at: datetime
    ) -> tuple[int, float | None]:
        # What may be called can have changed since the job was made.
        url = self._egress.check_url(delivery.url, "url")
        headers = _headers(delivery, subscription.secret, at)
        signer = self._signers.get(delivery.signer)
        said = subscription.authorization or None
        if said is None and signer is not None:
            said = signer.authorization(delivery.method, url, ())
        answer = await self._ask(delivery, url, headers, said)
        challenges = answer.headers.getall("WWW-Authenticate", ())
        if answer.status == _UNAUTHORIZED and signer is not None and challenges:
            said = signer.authorization(delivery.method, url, challenges)
            if said is not None:
                answer = await self._ask(delivery, url, headers, said)
        if answer.status in _SLOW_DOWN:
            return answer.status, read_retry_after(answer.headers.get("Retry-After"), at)
        return answer.status, None

    async def _ask(
        self, delivery: Delivery, url: URL, headers: dict[str, str], authorization: str | None
    ) -> aiohttp.ClientResponse:
        """Send the message once; the answer is read."""
        sent = {**headers, "Authorization": authorization} if authorization else headers
        async with self._session.request(
            delivery.method, url, data=delivery.body, headers=sent, allow_redirects=False
        ) as answer:
            await _leave(answer)
            return answer


def _headers(delivery: Delivery, secret: str, at: datetime) -> dict[str, str]:
    """Sign the message as it is sent now: the same id with every try, the time of this one."""
    moment = at.astimezone(UTC).replace(microsecond=0)  # the library signs whole seconds of UTC
    return {
        "Content-Type": "application/json",
        "User-Agent": "Jobwire",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery.id, moment, delivery.body.decode()),
        **dict(delivery.headers),
    }


async def _leave(answer: aiohttp.ClientResponse) -> None:
    """Read the rest of a short answer, so that its connection can be used again; else close it."""
    left = _ANSWER_BYTES
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_REST_S):
            while left > 0 and (some := await answer.content.read(left)):
                left -= len(some)
            if left > 0:
                return
    answer.close()


def _meaning(status: int, *, lenient: bool) -> tuple[Result, str | None]:
    match status:
        case _ if lenient and status < 500 and status not in _TRY_AGAIN:  # noqa: PLR2004 - as HTTP has it
            return "delivered", None
        case _ if 200 <= status < 300:  # noqa: PLR2004 - as HTTP has it
            return "delivered", None
        case _ if 300 <= status < 400:  # noqa: PLR2004 - as HTTP has it
            return "refused", f"answered {status}: a redirect is not followed"
        case _ if status == _GONE:
            return "gone", "answered 410: the receiver wants no more"
        case _:
            kind: Result = "slow_down" if status in _SLOW_DOWN else "refused"
            return kind, f"answered {status}"


def _failure(failed: Exception) -> tuple[Result, str]:
    """Return the connection error as a text that reveals nothing of the internal network."""
    match failed:
        case aiohttp.ClientConnectorError(os_error=Denied() as denied):
            return "denied", str(denied)
        case aiohttp.ClientConnectorDNSError():
            error = "the name of the host is not known"
        case aiohttp.ClientConnectorCertificateError():
            error = "the certificate of the host is not valid for it"
        case aiohttp.ClientSSLError():
            error = "no TLS connection could be made"
        case aiohttp.ClientConnectorError(os_error=cause):
            # Not the text of the error: that names the address behind the name.
            why = os.strerror(cause.errno) if cause.errno else "nobody answers"
            error = f"no connection: {why.lower()}"
        case aiohttp.ServerDisconnectedError() | OSError():
            error = "the connection was lost before the answer"
        case _:
            error = "the answer is not HTTP"
    return "unreachable", error
