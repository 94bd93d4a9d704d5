"""
Settings: a TOML file, then the environment; an unknown key is an error with a suggestion.

`JOBWIRE_PORT=8080` sets `port`; `JOBWIRE_LIMITS__BODY_BYTES=2000000` sets `body_bytes` in
`[limits]`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from schemas.errors import Misconfigured

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]

_PREFIX = "JOBWIRE_"

#: Variables that speak to the command line or to tests, not to the settings.
_NOT_SETTINGS = {
    "JOBWIRE_URL",
    "JOBWIRE_API_KEY",
    "JOBWIRE_DATA",
    "JOBWIRE_FAILPOINTS",
    "JOBWIRE_CONFIG",
}


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What bounds each input; every one has its clear answer."""

    body_bytes: Positive = 1_048_576
    """Largest request body after decompression; over it: 413."""
    ndjson_bytes: Positive = 8_388_608
    """Largest NDJSON body; over it: 413."""
    ndjson_lines: Positive = 10_000
    """Most lines of one NDJSON request; over it: 413."""
    data_bytes: Positive = 65_536
    """Largest `data` of one event or job; over it: 413."""
    events_per_job: Positive = 100_000
    """Most history entries of one job; later ones that change no state go to `refused`."""
    tags_per_job: Positive = 32
    """Most tags of one job; over it: 422."""
    lifecycles_per_owner: Positive = 200
    """Most registered lifecycle versions of one owner; over it: 429."""
    streams_per_owner: Positive = 100
    """Most open event streams of one owner; over it: 429."""
    connections: Positive = 2_000
    """Most open connections of all clients together; a further one: 503, and closed."""
    jobs_per_minute: Positive = 60_000
    """Most jobs that one owner makes in a minute; over it: 429."""
    failed_logins_per_minute: Positive = 120
    """Most refused keys and tokens from one address in a minute; over it: 429."""
    request_s: Seconds = 20
    """Longest time that a client may take to send a body; over it: 408."""
    keepalive_s: Seconds = 60
    """How long an idle connection stays open."""
    database_bytes: Annotated[int, Meta(ge=0)] = 0
    """Largest database file of the embedded store, 0 for no limit; over it: 503."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, with its default."""

    host: str = "127.0.0.1"
    """Address that the gateway listens on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8640
    """Port that the gateway listens on; 0 takes a free one."""
    public_url: str | None = None
    """Base of the URLs that are handed out; default: the address listened on."""
    shards: Annotated[int, Meta(ge=1, le=256)] = 1
    """Number of event queues; fixed when the data folder is made."""
    grace_s: Seconds = 20
    """How long a stopping process may take to finish what it has in hand."""
    answer_s: Seconds = 5
    """How long an event may wait to be stored before its sender is told 503."""
    token_overlap_s: Seconds = 3600
    """
    How long the previous token stays good after a rotation, unless the request says
    otherwise.
    """
    reaper_interval_s: Annotated[float, Meta(gt=0)] = 1
    """How often the reaper looks for stale jobs."""
    log_level: str = "warning"
    """Least important level that is logged: debug, info, warning or error."""
    limits: Limits = field(default_factory=Limits)


def load_settings(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """
    Read the settings: the file first, the environment over it.

    Raises:
        Misconfigured: an unknown key (with the nearest known one), or a value of the wrong kind.

    """
    values = _read_toml(file) if file else {}
    for variable, text in environment.items():
        if variable.startswith(_PREFIX) and variable not in _NOT_SETTINGS:
            _place(values, variable.removeprefix(_PREFIX).lower().split("__"), text)
    _check_keys(values, Settings, "")
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"setting: {error}") from error


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return msgspec.toml.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise Misconfigured(f"cannot read the settings file {file}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the settings file {file} is not TOML: {error}") from error


def _place(values: dict[str, Any], path: list[str], text: str) -> None:
    *tables, last = path
    for table in tables:
        inner: object = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise Misconfigured(f"setting: {table} is a value, so it has no {last}")
        values = inner
    values[last] = text


def _check_keys(values: Mapping[str, Any], record: type[Struct], prefix: str) -> None:
    known = {f.name: f.type for f in msgspec.structs.fields(record)}
    for key, value in values.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = (
                f"; did you mean {prefix}{nearest[0]}?"
                if nearest
                else f"; known: {', '.join(sorted(known))}"
            )
            raise Misconfigured(f"unknown setting {prefix}{key}{hint}")
        nested = known[key]
        if isinstance(value, dict) and isinstance(nested, type) and issubclass(nested, Struct):
            _check_keys(value, nested, f"{prefix}{key}.")
