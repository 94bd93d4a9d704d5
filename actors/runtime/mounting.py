"""Where the gateway speaks a dialect: what can be set of each of them."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from jobwire.schemas.errors import Misconfigured

#: The dialect of the service itself: always mounted, so there is nothing to set.
NATIVE: Final = "native"

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+)):([0-9]{1,5})")
_MOST_PORT = 65_535


class Mounting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a dialect is served, and where; a dialect with more settings extends this record."""

    enabled: bool = False
    """Whether the gateway serves it, below `/compat/` and its name."""
    listen: str | None = None
    """
    `host:port` at whose root it is served as well, for clients that cannot put a path before their
    own; port 0 takes a free one.
    """
    public_url: str | None = None
    """Base of the URLs in answers at `listen`; default: the address that the client used."""

    @property
    def address(self) -> tuple[str, int] | None:
        """
        Host and port of `listen`.

        Raises:
            Misconfigured: it is no address.

        """
        if self.listen is None:
            return None
        found = _ADDRESS.fullmatch(self.listen)
        if found is None or int(found[3]) > _MOST_PORT:
            detail = f"setting: listen = {self.listen!r} is not host:port, such as 127.0.0.1:9998"
            raise Misconfigured(detail)
        return found[1] or found[2], int(found[3])
