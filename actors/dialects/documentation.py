"""What the pages of the reference say of a dialect: data, which only `make generate` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec import Struct

from jobwire.schemas.principals import Scope

JSON: Final = "application/json"


class Page(NamedTuple):
    """A page of a list of such records."""

    of: type[Struct]


class ContentKind(NamedTuple):
    """What a request or an answer holds: a record, a page, or just text of a kind."""

    kind: str
    shape: type[Struct] | Page | None = None


class RouteEntry(NamedTuple):
    """One route."""

    method: str
    path: str
    summary: str
    scope: Scope | None
    answers: Mapping[int, ContentKind | None]
    query: type[Struct] | None = None
    headers: tuple[str, ...] = ()
    bodies: tuple[ContentKind, ...] = ()
    errors: tuple[int, ...] = ()
    token: bool = False
    """Whether the job's own token will do instead of an API key."""


def json_content(shape: type[Struct] | Page) -> ContentKind:
    """Return JSON of a record or of a page."""
    return ContentKind(JSON, shape)


@dataclass(frozen=True, kw_only=True)
class DialectDocumentation:
    """What a dialect adds to the reference, beside its settings and its commands."""

    routes: tuple[RouteEntry, ...] = ()
    """Its routes of the native API."""
    advice: Mapping[tuple[int, str], str] = field(default_factory=dict)
    """What a client can do about each error that only this dialect answers: by status and code."""
