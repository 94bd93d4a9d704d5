"""Problem documents read back into the errors that they were written from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from jobwire.schemas.errors import (
    Conflict,
    Forbidden,
    InDoubt,
    Invalid,
    JobwireError,
    Malformed,
    NotAcceptable,
    NotAllowed,
    NotFound,
    RangeNotSatisfiable,
    Timeout,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
    Upgrading,
)
from jobwire.schemas.views import Problem, Readiness

_BY_STATUS: Final[Mapping[int, type[JobwireError]]] = {
    kind.status: kind
    for kind in (
        Malformed,
        Unauthorized,
        Forbidden,
        NotFound,
        NotAllowed,
        NotAcceptable,
        Timeout,
        Conflict,
        TooLarge,
        UnsupportedMedia,
        RangeNotSatisfiable,
        Invalid,
        TooManyRequests,
        Unavailable,
    )
}

#: Kinds that share their status with another one.
_BY_CODE: Final[Mapping[str, type[JobwireError]]] = {
    kind.default_code: kind for kind in (InDoubt, Upgrading)
}

#: What a proxy says for a service that it cannot reach.
_OF_PROXIES = (502, 503, 504)

_decoder = msgspec.json.Decoder(Problem)


def error_of(status: int, body: bytes, retry_after: str | None = None) -> JobwireError:
    """Return the error that an answer stands for, even if something else than Jobwire answered."""
    retry_after_s = int(retry_after) if retry_after and retry_after.isdecimal() else None
    try:
        problem = _decoder.decode(body)
    except msgspec.DecodeError:
        return _not_ready(body, retry_after_s) or _foreign(status, retry_after_s)
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(status, JobwireError)
    return kind(
        problem.detail,
        code=problem.code,
        pointer=problem.pointer,
        limit=problem.limit,
        retry_after_s=retry_after_s,
    )


def _not_ready(body: bytes, retry_after_s: int | None) -> Unavailable | None:
    try:
        missing = msgspec.json.decode(body, type=Readiness).missing
    except msgspec.DecodeError:
        return None
    detail = f"the service runs, but is not ready: {'; '.join(missing)}"
    return Unavailable(detail, code="not_ready", retry_after_s=retry_after_s)


def _foreign(status: int, retry_after_s: int | None) -> JobwireError:
    if status in _OF_PROXIES:
        detail = f"a proxy answered {status}: it does not reach the service; try again"
        return Unavailable(detail, retry_after_s=retry_after_s)
    detail = f"the answer ({status}) is not Jobwire's; check the URL"
    return JobwireError(detail, code="not_jobwire")
