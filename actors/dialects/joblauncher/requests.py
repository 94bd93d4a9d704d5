"""What a client asks for (pure): `POST /job` read, defaults filled in, echoed by `GET`."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from jobwire.schemas.codec import decode
from jobwire.schemas.errors import Invalid, Malformed

#: What the original does without being asked.
STDERR, STDOUT = "stderr.txt", "stdout.txt"
#: The `max_time` that stands for the longest time of the configuration.
NO_MAX_TIME: Final = -1


class LaunchRequest(Struct, frozen=True, kw_only=True):
    """
    A request as it was understood: all fields, defaults filled in.

    The union of the fields of all generations of the original; unknown ones are ignored.
    """

    jobdir: str
    executable: str
    arguments: tuple[str, ...] = ()
    prestaged: tuple[str, ...] = ()
    poststaged: tuple[str, ...] = ()
    stderr: str = STDERR
    stdout: str = STDOUT
    environment: dict[str, str] = {}
    status_callback_url: str | None = None
    launcher: str = ""
    max_time: int = NO_MAX_TIME


class _RequestBody(Struct, frozen=True, kw_only=True):
    """A request as it is sent: any field may be missing or null."""

    jobdir: str | None = None
    executable: str | None = None
    arguments: tuple[str, ...] | None = None
    prestaged: tuple[str, ...] | None = None
    poststaged: tuple[str, ...] | None = None
    stderr: str | None = None
    stdout: str | None = None
    environment: dict[str, str] | None = None
    status_callback_url: str | None = None
    launcher: str | None = None
    max_time: int | None = None


_sent_decoder = msgspec.json.Decoder(_RequestBody)
_request_decoder = msgspec.json.Decoder(LaunchRequest)
_REQUIRED: Final = ("jobdir", "executable")


def read_request(body: bytes, launcher: str) -> LaunchRequest:
    """
    Read a body that has passed `check_json`; null counts as left out.

    Args:
        body: the document, without comments.
        launcher: the one that is meant where none is named.

    Raises:
        Malformed: another type of JSON than expected, which the original answered 400, too.
        Invalid: `jobdir` or `executable` is missing or empty.

    """
    try:
        sent = decode(_sent_decoder, body)
    except Invalid as error:
        raise Malformed(error.detail, code="wrong_type", pointer=error.pointer) from error
    for name in _REQUIRED:
        if not getattr(sent, name):
            detail = f"{name} is missing: send a text that is not empty"
            raise Invalid(detail, pointer=f"/{name}")
    given = {
        name: value for name in sent.__struct_fields__ if (value := getattr(sent, name)) is not None
    }
    return LaunchRequest(**{"launcher": launcher, **given})


def reread(data: bytes | None) -> LaunchRequest | None:
    """Read a stored request again; None: the job was not made by this dialect."""
    try:
        return _request_decoder.decode(data or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def echo(request: LaunchRequest) -> dict[str, Any]:
    """Return the request as `GET /job/{id}` shows it."""
    return msgspec.structs.asdict(request)
