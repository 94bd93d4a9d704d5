"""Settings of this dialect: `[dialects.joblauncher]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from jobwire.actors.runtime.mounting import Mounting

#: Text that can stand between quotes in a header.
_Quotable = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"(?#ASCII without quotes and backslashes)^[\x20-\x21\x23-\x5b\x5d-\x7e]*(?!\n)$",
    ),
]
_PlainText = Annotated[
    str, Meta(min_length=1, pattern=r"(?#ASCII without blanks)^[\x21-\x7e]*(?!\n)$")
]


class MacCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key by which callbacks are signed as MAC Access Authentication says."""

    id: _Quotable
    key: _PlainText
    """Taken as the text that it is, also where it looks encoded."""
    scope: str
    """URL: callbacks to its host and port, below its path, are signed."""
    algorithm: Literal["hmac-sha-1", "hmac-sha-256"] = "hmac-sha-1"


class BasicCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user and a password that callbacks are sent with at once."""

    username: Annotated[
        str, Meta(min_length=1, pattern=r"(?#one line without a colon)^[^:\x00-\x1f\x7f]*(?!\n)$")
    ]
    password: Annotated[str, Meta(pattern=r"(?#one line)^[^\x00-\x1f\x7f]*(?!\n)$")]
    scope: str
    """URL: callbacks to its scheme, host and port, below its path, carry it."""


class Joblauncher(Mounting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The joblauncher of NLeSC, later osmium: `/job` with PUT callbacks."""

    owner: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """
    Principal of requests without a key, while the service listens on loopback and has no public
    URL; default: every request needs an API key, as Bearer or as the password of Basic.
    """
    launchers: dict[str, str] = field(default_factory=dict)
    """Allowed values of `launcher` in requests, each with its site; default: `local`."""
    default_launcher: str | None = None
    """The launcher of a request without one; default: the first."""
    max_run_s: Annotated[float, Meta(gt=0, le=365 * 86_400)] = 3_600
    """Longest time that a job runs, and the largest `max_time`; over it: KILLED."""
    max_wait_s: Annotated[float, Meta(gt=0, le=365 * 86_400)] | None = None
    """Longest time that a job waits for its start, staging included; over it: KILLED."""
    stored_within_s: Annotated[float, Meta(gt=0, le=3_600)] = 60
    """
    Longest time that a submission waits until its job is stored, if the broker does not confirm it
    or the store lags behind; over it: 503, and the job is cancelled.
    """
    keep_paths: bool = False
    """
    Whether files keep their path below `jobdir` in the job's directory; otherwise only their last
    name is kept.
    """
    correct_spelling: bool = False
    """Whether status documents also have the correctly spelt `schedulerSpecificInformation`."""
    challenge_only: bool = False
    """Whether MAC is sent only after a challenge, as in the original; otherwise at once."""
    macs: tuple[MacCredential, ...] = ()
    """Credentials `id`, `key`, `scope` and `algorithm` (`hmac-sha-1` or `hmac-sha-256`)."""
    basic: tuple[BasicCredential, ...] = ()
    """Credentials `username`, `password` and `scope`."""
