"""
Job tokens and signed authorities: who says that something happened.

A job token is `key id (2) + generation (1 or more) + MAC (26)` in lower-case base-32, where
`MAC = HMAC-SHA-256(service key, job id | generation)` cut to 128 bits. It is computed again
whenever it is checked and stored nowhere, so a forged one costs arithmetic only, and never a
database read.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from jobwire.schemas.events import Event, SignedAuthority, TokenAuthority
from jobwire.schemas.identifiers import EventId, JobId

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
#: From our digits to those that `int` reads in C; whatever is no digit of ours stops it.
_TO_PYTHON_DIGITS = dict.fromkeys(range(128), "!") | {
    ord(ours): pythons
    for ours, pythons in zip(_ALPHABET, "0123456789abcdefghijklmnopqrstuv", strict=True)
}
#: Genuine tokens remembered by one process.
_MOST_VERIFIED = 20_000
_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_KEY_ID_CHARACTERS = 2
_MAC_BYTES = 16
_PADDED_BYTES = 17
_MAC_CHARACTERS = 26
#: Longest generation that is read at all: 32**6 rotations of one job.
_GENERATION_CHARACTERS = 6


class ServiceKey(Struct, frozen=True, kw_only=True):
    """One secret of the service; its id (two base-32 characters) is the head of each token."""

    id: str
    secret: bytes


class Keyring:
    """The service keys: the first signs, all verify, so keys can be changed without a gap."""

    __slots__ = ("_verified", "keys")

    def __init__(self, keys: tuple[ServiceKey, ...]) -> None:
        """Hold the keys, the signing one first."""
        self.keys = keys
        # A job's sender shows the same token with every event: the arithmetic is done once. Only
        # genuine tokens are kept, so nobody can fill this with guesses.
        self._verified: dict[tuple[JobId, str], int] = {}

    @property
    def signing(self) -> ServiceKey:
        """The key that signs."""
        return self.keys[0]

    def find(self, key_id: str) -> ServiceKey | None:
        """Return the key of that id, if it may still verify."""
        for key in self.keys:
            if key.id == key_id:
                return key
        return None

    def generation(self, job_id: JobId, token: str) -> int | None:
        """
        Return the generation that a genuine token of a job carries, or None for any other text.

        Whether the generation is still good is the state manager's to say; this is arithmetic.
        """
        known = self._verified.get((job_id, token))
        if known is not None:
            return known
        generation = _generation(self, job_id, token)
        if generation is not None:
            if len(self._verified) >= _MOST_VERIFIED:
                self._verified.clear()
            self._verified[job_id, token] = generation
        return generation


class VerifiedSender(Struct, frozen=True):
    """A verified authority: what the state manager may rely on about who sent an event."""

    role: str
    principal: str = ""
    generation: int = 0
    attempt: int | None = None


def mint_token(keyring: Keyring, job_id: JobId, generation: int) -> str:
    """Compute the token of a job's generation with the signing key."""
    key = keyring.signing
    mac = _to_base32(_padded(_mac(key, job_id, generation)), _MAC_CHARACTERS)
    return key.id + _to_base32(generation) + mac


def sign(
    keyring: Keyring,
    job_id: JobId,
    event_id: EventId,
    role: str,
    principal: str = "",
    attempt: int | None = None,
) -> SignedAuthority:
    """Let a part of the service itself, or a caller it has authenticated, send one event."""
    key = keyring.signing
    signature = _signature(key, job_id, event_id, role, principal, attempt)
    return SignedAuthority(role, principal, attempt, key.id, signature)


def identify(keyring: Keyring, event: Event) -> VerifiedSender | None:
    """Verify an event's authority; None means that it is forged."""
    match event.authority:
        case TokenAuthority(token, attempt):
            generation = keyring.generation(event.job, token)
            return None if generation is None else VerifiedSender("token", "", generation, attempt)
        case SignedAuthority(role, principal, attempt, key_id, signature):
            key = keyring.find(key_id)
            if key is None:
                return None
            expected = _signature(key, event.job, event.id, role, principal, attempt)
            genuine = hmac.compare_digest(expected, signature)
            return VerifiedSender(role, principal, 0, attempt) if genuine else None
        case never:
            assert_never(never)


def _generation(keyring: Keyring, job_id: JobId, token: str) -> int | None:
    key = keyring.find(token[:_KEY_ID_CHARACTERS])
    digits = token[_KEY_ID_CHARACTERS:-_MAC_CHARACTERS]
    generation = _from_base32(digits) if len(digits) <= _GENERATION_CHARACTERS else None
    presented = _from_base32(token[-_MAC_CHARACTERS:], _MAC_CHARACTERS)
    if key is None or generation is None or presented is None or digits != _to_base32(generation):
        return None
    genuine = hmac.compare_digest(
        _padded(_mac(key, job_id, generation)).to_bytes(_PADDED_BYTES),
        presented.to_bytes(_PADDED_BYTES),
    )
    return generation if genuine else None


def _mac(key: ServiceKey, job_id: JobId, generation: int) -> bytes:
    return _hmac(key.secret, f"{job_id}|{generation}".encode())[:_MAC_BYTES]


def _hmac(secret: bytes, message: bytes) -> bytes:
    """Compute HMAC-SHA-256 (RFC 2104); keeps the hashed key, more than half of the work."""
    inner_start, outer_start = _hashed_key(secret)
    inner, outer = inner_start.copy(), outer_start.copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=16)
def _hashed_key(secret: bytes) -> tuple[Hash, Hash]:
    key = (secret if len(secret) <= _BLOCK_BYTES else sha256(secret).digest()).ljust(
        _BLOCK_BYTES, b"\0"
    )
    return sha256(key.translate(_INNER_PAD)), sha256(key.translate(_OUTER_PAD))


def _padded(mac: bytes) -> int:
    """Return a MAC as the number that its 26 base-32 digits write: 128 bits and two zero bits."""
    return int.from_bytes(mac) << 2


def _signature(
    key: ServiceKey,
    job_id: JobId,
    event_id: EventId,
    role: str,
    principal: str,
    attempt: int | None,
) -> bytes:
    # Every part but the last has no colon or a length before it, so two messages never read alike.
    message = f"authority:{role}:{attempt}:{len(principal)}:{principal}:{job_id}:{event_id}"
    return _hmac(key.secret, message.encode())


def _to_base32(number: int, width: int = 1) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 32)
        digits = _ALPHABET[rest] + digits
    return digits.rjust(width, _ALPHABET[0])


def _from_base32(digits: str, width: int = 1) -> int | None:
    """Read a number of at least `width` digits; None for any other text."""
    if len(digits) < width or not digits.isascii():
        return None
    try:
        return int(digits.translate(_TO_PYTHON_DIGITS), 32)
    except ValueError:
        return None
