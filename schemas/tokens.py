"""
Job tokens and signed authorities: who says that something happened.

A job token is `key id (2) + generation (1 or more) + MAC (26)` in lower-case base-32, where
`MAC = HMAC-SHA-256(service key, job id | generation)` cut to 128 bits. It is computed again
whenever it is checked and stored nowhere, so a forged one costs arithmetic only, and never a
database read.
"""

from __future__ import annotations

import hmac
from base64 import b32encode

from msgspec import Struct

from schemas.events import Event, SignedAuthority, TokenAuthority
from schemas.identifiers import EventId, JobId
from schemas.lifecycle import Role

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_KEY_ID_CHARACTERS = 2
_MAC_CHARACTERS = 26
#: Longest generation that is read at all: 32**6 rotations of one job.
_GENERATION_CHARACTERS = 6


class ServiceKey(Struct, frozen=True, kw_only=True):
    """One secret of the service; its id (two base-32 characters) is the head of each token."""

    id: str
    secret: bytes


class Keyring(Struct, frozen=True):
    """The service keys: the first signs, all verify, so keys can be changed without a gap."""

    keys: tuple[ServiceKey, ...]

    @property
    def signing(self) -> ServiceKey:
        """The key that signs."""
        return self.keys[0]

    def find(self, key_id: str) -> ServiceKey | None:
        """Give the key of that id, if it may still verify."""
        for key in self.keys:
            if key.id == key_id:
                return key
        return None


class Sender(Struct, frozen=True):
    """A verified authority: what the state manager may rely on about who sent an event."""

    role: Role
    principal: str = ""
    generation: int = 0
    attempt: int | None = None


def mint_token(keyring: Keyring, job_id: JobId, generation: int) -> str:
    """Compute the token of a job's generation with the signing key."""
    return _token(keyring.signing, job_id, _to_base32(generation))


def token_generation(keyring: Keyring, job_id: JobId, token: str) -> int | None:
    """
    Give the generation that a genuine token carries, or None for any other text.

    Whether the generation is still good is the state manager's to say; this is arithmetic only.
    """
    digits = token[_KEY_ID_CHARACTERS:-_MAC_CHARACTERS]
    if not 1 <= len(digits) <= _GENERATION_CHARACTERS or not token.isascii():
        return None
    key = keyring.find(token[:_KEY_ID_CHARACTERS])
    generation = _from_base32(digits)
    if key is None or generation is None:
        return None
    genuine = hmac.compare_digest(_token(key, job_id, digits), token)
    return generation if genuine else None


def sign(
    keyring: Keyring,
    job_id: JobId,
    event_id: EventId,
    role: Role,
    principal: str = "",
    attempt: int | None = None,
) -> SignedAuthority:
    """Let a part of the service itself, or a caller it has authenticated, speak for one event."""
    key = keyring.signing
    signature = _signature(key, job_id, event_id, role, principal, attempt)
    return SignedAuthority(role, principal, attempt, key.id, signature)


def identify(keyring: Keyring, event: Event) -> Sender | None:
    """Verify an event's authority; None means that it is forged."""
    match event.authority:
        case TokenAuthority(token, attempt):
            generation = token_generation(keyring, event.job, token)
            return None if generation is None else Sender("token", "", generation, attempt)
        case SignedAuthority(role, principal, attempt, key_id, signature):
            key = keyring.find(key_id)
            if key is None:
                return None
            expected = _signature(key, event.job, event.id, role, principal, attempt)
            genuine = hmac.compare_digest(expected, signature)
            return Sender(role, principal, 0, attempt) if genuine else None


def _token(key: ServiceKey, job_id: JobId, digits: str) -> str:
    generation = _from_base32(digits)
    mac = hmac.digest(key.secret, f"{job_id}|{generation}".encode(), "sha256")[:16]
    return key.id + digits + b32encode(mac).decode()[:_MAC_CHARACTERS].lower()


def _signature(
    key: ServiceKey,
    job_id: JobId,
    event_id: EventId,
    role: Role,
    principal: str,
    attempt: int | None,
) -> bytes:
    # Every part but the last has no colon or a length before it, so two messages never read alike.
    message = f"authority:{role}:{attempt}:{len(principal)}:{principal}:{job_id}:{event_id}"
    return hmac.digest(key.secret, message.encode(), "sha256")


def _to_base32(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 32)
        digits = _ALPHABET[rest] + digits
    return digits or _ALPHABET[0]


def _from_base32(digits: str) -> int | None:
    """Read a number; None for other characters or a leading zero, so each number has one text."""
    if digits[0] == _ALPHABET[0] and len(digits) > 1:
        return None
    number = 0
    for digit in digits:
        value = _ALPHABET.find(digit)
        if value < 0:
            return None
        number = number * 32 + value
    return number
