"""Principals and their API keys: who a caller is, and what the key lets them do."""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from hashlib import sha256
from typing import Literal

from msgspec import Struct

Scope = Literal["read", "events", "jobs", "admin"]
"""`read` jobs and history, send `events`, make and change `jobs`, `admin`: keys and lifecycles."""

ALL_SCOPES: tuple[Scope, ...] = ("read", "events", "jobs", "admin")

_KEY = re.compile(r"jwk_([a-z0-9]{10})_([A-Za-z0-9_-]{32,64})")


class Principal(Struct, frozen=True):
    """An authenticated caller; `name` is the owner of what it makes."""

    name: str
    scopes: frozenset[Scope]


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key as it is stored: never the secret, only its hash."""

    id: str
    principal: str
    scopes: tuple[Scope, ...]
    hash: bytes
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    label: str | None = None

    def admits(self, secret: str, now: datetime) -> bool:
        """Return whether this secret opens the key now; compared in constant time."""
        genuine = hmac.compare_digest(self.hash, hash_secret(secret))
        expired = self.expires is not None and self.expires <= now
        return genuine and self.revoked is None and not expired


def hash_secret(secret: str) -> bytes:
    """Hash a key's secret; it is 192 random bits, so one round is enough."""
    return sha256(secret.encode()).digest()


def compose_key(key_id: str, secret: str) -> str:
    """Write an API key as its owner will present it."""
    return f"jwk_{key_id}_{secret}"


def split_key(text: str) -> tuple[str, str] | None:
    """Read a presented API key into id and secret; None: it is not one."""
    match = _KEY.fullmatch(text)
    return None if match is None else (match[1], match[2])
