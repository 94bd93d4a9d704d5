"""
Nonces: texts whose bearer acts for the owner at one actor, with limited uses and lifetime.

A nonce is `<tenant>_<handle><secret>`; the tenant is all before the last underscore. It is shown
once, and stored as its handle and the hash of its secret.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

from msgspec import Struct, structs

from jobwire.schemas.principals import Scope, hash_secret

Level = Literal["NONE", "READ", "EXECUTE", "UPDATE"]
"""What a nonce opens at most; each level includes those before it."""

LEVELS: Final[tuple[Level, ...]] = get_args(Level)

#: The scopes that a nonce of each level grants.
SCOPES: Final[dict[Level, frozenset[Scope]]] = {
    "NONE": frozenset(),
    "READ": frozenset({"read"}),
    "EXECUTE": frozenset({"read", "events", "jobs"}),
    "UPDATE": frozenset({"read", "events", "jobs"}),
}

#: Of a nonce that may be used as often as one likes.
UNLIMITED: Final = -1
#: Uses of a limited nonce that are remembered, the newest: their repetitions count once.
MOST_SPENT: Final = 1_000

_HANDLE, _SECRET = 10, 26
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_NONCE = re.compile(
    rf"([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})_([{_ALPHABET}]{{10}})([{_ALPHABET}]{{26}})?"
)


class Nonce(Struct, frozen=True, kw_only=True):
    """A nonce as it is stored; its secret is known only to its creator."""

    handle: str
    tenant: str
    hash: bytes
    owner: str
    actor: str
    """Id of the actor that it is for."""
    alias: str | None
    """It is for this alias of the actor only; None: for its id."""
    level: Level
    roles: tuple[Scope, ...]
    """The scopes of its creator: a nonce never grants more."""
    max_uses: int
    created: datetime
    expires: datetime | None = None
    description: str = ""
    uses: int = 0
    last_used: datetime | None = None
    spent: tuple[str, ...] = ()
    """Uses of a limited nonce by their ids."""

    @property
    def name(self) -> str:
        """What it is called where it must not be repeated."""
        return f"{self.tenant}_{self.handle}"

    @property
    def left(self) -> int:
        """How often it may still be used."""
        return UNLIMITED if self.max_uses == UNLIMITED else max(0, self.max_uses - self.uses)

    @property
    def scopes(self) -> frozenset[Scope]:
        """The scopes that it grants."""
        return SCOPES[self.level] & frozenset(self.roles)

    def opens(self, secret: str) -> bool:
        """Return whether this secret is the nonce's; compared in constant time."""
        return hmac.compare_digest(self.hash, hash_secret(secret))

    def grants(self, level: Level) -> bool:
        """Return whether its level includes another one."""
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def redeem(self, uses: Sequence[str], now: datetime) -> tuple[Nonce, list[bool]]:
        """
        Spend a use for each id that has not spent one before, as long as uses are left.

        Returns:
            The nonce afterwards, and for each id whether it is admitted.

        """
        if self.max_uses == UNLIMITED:
            spent = structs.replace(self, uses=self.uses + len(uses), last_used=now)
            return spent, [True] * len(uses)
        known = dict.fromkeys(self.spent)
        left, admitted = self.left, []
        for use in uses:
            if use not in known and left:
                known[use] = None
                left -= 1
            admitted.append(use in known)
        if left == self.left:
            return self, admitted
        kept = tuple(known)[-MOST_SPENT:]
        count = self.max_uses - left
        return structs.replace(self, uses=count, last_used=now, spent=kept), admitted


def compose_nonce(tenant: str, handle: str, secret: str) -> str:
    """Write a nonce as its holder will present it."""
    return f"{tenant}_{handle}{secret}"


class Presented(NamedTuple):
    """A nonce as it was presented, or its name alone."""

    tenant: str
    handle: str
    secret: str | None

    def names(self, nonce: Nonce) -> bool:
        """Return whether it is this nonce that is named."""
        return (self.tenant, self.handle) == (nonce.tenant, nonce.handle)


def split_nonce(text: str) -> Presented | None:
    """Read a nonce, or its name alone; None: it is neither."""
    found = _NONCE.fullmatch(text)
    return None if found is None else Presented(found[1], found[2], found[3])


def spell(numbers: Sequence[int]) -> tuple[str, str]:
    """Write a handle and a secret from random numbers, one for each character."""
    text = "".join(_ALPHABET[number % len(_ALPHABET)] for number in numbers)
    return text[:_HANDLE], text[_HANDLE : _HANDLE + _SECRET]


#: Random characters of a nonce, and how many different ones there are.
CHARACTERS: Final = _HANDLE + _SECRET
KINDS_OF_CHARACTERS: Final = len(_ALPHABET)
