"""
All errors, as one tree.

JobwireError
├── Malformed          400  not JSON, or JSON over the structural limits
├── Unauthorized       401  no usable key or token
│   └── WebhookVerificationError  401  a callback that is not genuine, or not of now
├── Forbidden          403  known, but without the right
├── NotFound           404  unknown, or another owner's: the two look the same
├── NotAllowed         405  the route exists, the method does not
├── NotAcceptable      406  the client accepts no format that this route writes
├── Timeout            408  the client took too long to send its request
├── Conflict           409  the current state does not allow it
├── TooLarge           413  a body that exceeds its limit
├── UnsupportedMedia   415  a content type or encoding that the route does not read
├── RangeNotSatisfiable 416 a range that starts after the end of the file
├── Invalid            422  well-formed, but wrong; `pointer` names the field
├── TooManyRequests    429  a quota or rate was exceeded
├── Unavailable        503  retry: a part is away, full or stopping
│   ├── InDoubt        503  the same, but the request may have been carried out
│   └── Upgrading      503  an upgrade is under way: a newer release can do it
└── Misconfigured      500  a setting or the data folder is wrong; stops the process at start
"""

from __future__ import annotations

from typing import ClassVar


class JobwireError(Exception):
    """Something went wrong in Jobwire."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"

    detail: str
    """What was wrong, what was expected, what to do."""
    code: str
    """One word for programs."""
    pointer: str | None
    """The invalid field, as a JSON pointer, or the header's name."""
    limit: int | None
    """The limit that was exceeded."""
    retry_after_s: int | None
    """After how many seconds to retry."""
    allowed: str | None
    """The methods of the route."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        pointer: str | None = None,
        limit: int | None = None,
        retry_after_s: int | None = None,
        allowed: str | None = None,
    ) -> None:
        """Describe one failure; the default detail is the class docstring."""
        self.detail = detail or (self.__doc__ or "").strip().splitlines()[0]
        self.code = code or self.default_code
        self.pointer = pointer
        self.limit = limit
        self.retry_after_s = retry_after_s
        self.allowed = allowed
        super().__init__(self.detail)


class Malformed(JobwireError):
    """The body is not valid JSON."""

    status = 400
    default_code = "invalid_json"


class Unauthorized(JobwireError):
    """The request has no valid API key or job token."""

    status = 401
    default_code = "unauthorized"


class WebhookVerificationError(Unauthorized):
    """The message is not a callback that Jobwire has signed just now."""

    default_code = "webhook_not_verified"


class Forbidden(JobwireError):
    """The API key or token does not allow this."""

    status = 403
    default_code = "forbidden"


class NotFound(JobwireError):
    """The requested object does not exist."""

    status = 404
    default_code = "not_found"


class NotAllowed(JobwireError):
    """The route does not have this method."""

    status = 405
    default_code = "method_not_allowed"


class NotAcceptable(JobwireError):
    """The client does not accept the format of the answer."""

    status = 406
    default_code = "not_acceptable"


class Timeout(JobwireError):
    """The request was not sent in time."""

    status = 408
    default_code = "timeout"


class Conflict(JobwireError):
    """The current state does not allow this."""

    status = 409
    default_code = "conflict"


class TooLarge(JobwireError):
    """The body exceeds its limit."""

    status = 413
    default_code = "too_large"


class UnsupportedMedia(JobwireError):
    """The route does not read this content type or encoding."""

    status = 415
    default_code = "unsupported_media_type"


class RangeNotSatisfiable(JobwireError):
    """The requested range starts after the end of the file."""

    status = 416
    default_code = "range_not_satisfiable"


class Invalid(JobwireError):
    """A field of the request is not valid."""

    status = 422
    default_code = "invalid"


class TooManyRequests(JobwireError):
    """Too many requests; slow down."""

    status = 429
    default_code = "too_many_requests"


class Unavailable(JobwireError):
    """The service cannot do this now; retry later."""

    status = 503
    default_code = "unavailable"


class InDoubt(Unavailable):
    """The request may have been carried out: repeat it with the same id, or withdraw it."""

    default_code = "not_confirmed"


class Upgrading(Unavailable):
    """An upgrade is under way, and this needs a newer release than one that is still at work."""

    default_code = "upgrading"


class Misconfigured(JobwireError):
    """A setting is wrong."""

    default_code = "misconfigured"
