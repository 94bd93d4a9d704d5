"""
What can go wrong, as one tree.

JobwireError
├── Malformed          400  not JSON, or JSON over the structural limits
├── Unauthorized       401  no usable key or token
├── Forbidden          403  known, but without the right
├── NotFound           404  unknown, or someone else's: the two look the same
├── NotAllowed         405  the route exists, the method does not
├── NotAcceptable      406  the client reads nothing that this route writes
├── Timeout            408  the client took too long to send its request
├── Conflict           409  the state of the thing forbids it
├── TooLarge           413  a body over its limit
├── UnsupportedMedia   415  a content type or encoding that cannot be read here
├── RangeNotSatisfiable 416 a part of a file that begins behind its end
├── Invalid            422  well-formed, but wrong; `pointer` names the field
├── TooManyRequests    429  a quota or rate was passed
├── Unavailable        503  try again: a part is away, full or stopping
│   ├── InDoubt        503  the same, and what was asked may be done all the same
│   └── Upgrading      503  a newer release that is alive can do it, or all can soon
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
    """The field at fault, as a JSON pointer, or the header's name."""
    limit: int | None
    """The limit that was passed."""
    retry_after_s: int | None
    """After how many seconds another try makes sense."""
    allowed: str | None
    """The methods that a route takes."""

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
        """Describe one failure; the class docstring is the detail where none is given."""
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
    """No usable API key or job token was presented."""

    status = 401
    default_code = "unauthorized"


class Forbidden(JobwireError):
    """The key may not do that."""

    status = 403
    default_code = "forbidden"


class NotFound(JobwireError):
    """There is no such thing here."""

    status = 404
    default_code = "not_found"


class NotAllowed(JobwireError):
    """The route does not take that method."""

    status = 405
    default_code = "method_not_allowed"


class NotAcceptable(JobwireError):
    """The client does not take what this route answers."""

    status = 406
    default_code = "not_acceptable"


class Timeout(JobwireError):
    """The request was not sent in time."""

    status = 408
    default_code = "timeout"


class Conflict(JobwireError):
    """The present state does not allow it."""

    status = 409
    default_code = "conflict"


class TooLarge(JobwireError):
    """The body is over its limit."""

    status = 413
    default_code = "too_large"


class UnsupportedMedia(JobwireError):
    """The content type or encoding is not one that this route reads."""

    status = 415
    default_code = "unsupported_media_type"


class RangeNotSatisfiable(JobwireError):
    """The file ends before the bytes that were asked for."""

    status = 416
    default_code = "range_not_satisfiable"


class Invalid(JobwireError):
    """The request is well-formed, but a field is wrong."""

    status = 422
    default_code = "invalid"


class TooManyRequests(JobwireError):
    """Too many requests; slow down."""

    status = 429
    default_code = "too_many_requests"


class Unavailable(JobwireError):
    """The service cannot do this now; try again."""

    status = 503
    default_code = "unavailable"


class InDoubt(Unavailable):
    """What was asked may be done all the same: repeat it under its id, or take it back."""

    default_code = "not_confirmed"


class Upgrading(Unavailable):
    """An upgrade is under way, and this needs a newer release than one that is still at work."""

    default_code = "upgrading"


class Misconfigured(JobwireError):
    """A setting is wrong."""

    default_code = "misconfigured"
