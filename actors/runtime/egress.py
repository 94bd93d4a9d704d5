"""
Guarded HTTP to addresses that somebody else has named.

The guard stands where a socket is made: it sees each address that a name resolves to, and those
written as numbers, at the moment of connecting. So a name that resolves to something else the
second time gains nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from jobwire.schemas.errors import Invalid, Misconfigured

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Ranges that count as public for the standard library, or in which an IPv4 address may hide.
_REFUSED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's translation
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # Teredo and other protocols
        "2002::/16",  # 6to4
    )
)
#: The one range of public IPv6 addresses: what lies outside is written otherwise, or is local.
_PUBLIC_V6: Final = IPv6Network("2000::/3")
#: An IPv4 address behind a translator: as good as the address itself.
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
#: No blanks, no control characters, no backslash: what parsers read differently.
_NOT_PLAIN: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}")
#: A last label by which resolvers take a host for a number.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MOST_HOST = 253

#: So short, because many receivers close a quiet connection after five seconds.
_KEEPALIVE_S = 3.0
#: Threads that look names up: a name server that never answers holds one for half a minute.
_LOOKUPS = 64


class Denied(OSError):
    """The address is not one that may be called."""

    def __init__(self) -> None:
        """Return an error that does not reveal which internal address a name resolves to."""
        super().__init__("the address is not one that may be called")


class Egress:
    """Makes sessions that reach public addresses and the networks that were opened, no others."""

    def __init__(self, allow: Iterable[str], resolver: AbstractResolver | None = None) -> None:
        """
        Open the networks `allow`, written as CIDR, beside the public addresses.

        Raises:
            Misconfigured: one of them is no network.

        """
        try:
            self._allowed: tuple[Network, ...] = tuple(ip_network(text) for text in allow)
        except ValueError as error:
            detail = f"setting: {error}; a network has the form 10.1.0.0/16"
            raise Misconfigured(detail) from error
        self._resolver = resolver

    def admits(self, address: Address) -> bool:
        """Return whether an address may be called."""
        address = _unwrapped(address)
        if any(address in network for network in self._allowed):
            return True
        if isinstance(address, IPv6Address) and address not in _PUBLIC_V6:
            return False
        refused = any(address in network for network in _REFUSED)
        return address.is_global and not address.is_multicast and not refused

    def check_url(self, text: str, pointer: str) -> URL:
        """
        Return the URL that a text names, when it may be called as far as it says itself.

        A name is looked up when it is called, and judged then.

        Raises:
            Invalid: it is no http or https URL (`bad_url`), or an address that may not be called
                (`forbidden_address`).

        """
        url, authority = _parse(text, pointer)
        host = url.raw_host or ""
        if ":" in host:
            address: Address | None = _parse_v6(host, pointer)
        else:
            address = _parse_v4_or_name(host, authority, pointer)
        if address is not None and not self.admits(address):
            detail = f"{address} is not allowed; the setting callbacks.allow adds networks"
            raise Invalid(detail, pointer=pointer, code="forbidden_address")
        return url

    def session(self, *, connections: int, timeout_s: float) -> aiohttp.ClientSession:
        """
        Make a session; the caller closes it.

        It follows no redirect when asked with `allow_redirects=False`, which every caller must; it
        keeps no cookies, knows no proxy, and inflates nothing.
        """
        connector = aiohttp.TCPConnector(
            limit=connections,
            keepalive_timeout=_KEEPALIVE_S,
            resolver=self._resolver or _ThreadResolver(),
            socket_factory=self._open,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            trust_env=False,
            auto_decompress=False,
        )

    def _open(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = address_info
        if not self.admits(ip_address(str(where[0]).partition("%")[0])):
            raise Denied
        return socket.socket(family, kind, protocol)


class _ThreadResolver(AbstractResolver):
    """Looks names up on threads of its own, so that a slow name server holds up nothing else."""

    def __init__(self) -> None:
        self._running = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if self._running >= _LOOKUPS:
            raise OSError("too many names are being resolved")
        self._running += 1
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def tell(result: list[ResolveResult] | OSError) -> None:
            self._running -= 1
            if found.cancelled():
                return
            if isinstance(result, OSError):
                found.set_exception(result)
            else:
                found.set_result(result)

        def look_up() -> None:
            try:
                result: list[ResolveResult] | OSError = _look_up(host, port, family)
            except OSError as error:
                result = error
            except UnicodeError:
                result = OSError("no name of a host")
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(tell, result)

        # A daemon: a look-up that hangs does not hold up the end of the process.
        threading.Thread(target=look_up, name="egress.lookup", daemon=True).start()
        return await found

    async def close(self) -> None:
        """Leave nothing open; look-ups that run end by themselves."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return [
        ResolveResult(
            hostname=host,
            host=str(where[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST,
        )
        for kind, _, protocol, _, where in found
    ]


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, where it plainly stands for one."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _parse(text: str, pointer: str) -> tuple[URL, str]:
    """Return a URL, and its authority as it was written."""
    detail = "an address has the form https://host/path"
    if _NOT_PLAIN.search(text):
        detail += ", without blanks, control characters or backslashes"
        raise Invalid(detail, pointer=pointer, code="bad_url")
    try:
        url = URL(text)
        port, host = url.port, url.host
    except ValueError as error:
        raise Invalid(detail, pointer=pointer, code="bad_url") from error
    if url.scheme not in ("http", "https") or not host or not port:
        raise Invalid(f"{detail}, or with http", pointer=pointer, code="bad_url")
    authority = re.split(r"[/?#]", text.partition("//")[2], maxsplit=1)[0]
    if "@" in authority:
        detail = "an address must not contain a user or password; receivers verify the signature"
        raise Invalid(detail, pointer=pointer, code="bad_url")
    return url, authority


def _parse_v6(host: str, pointer: str) -> Address:
    detail = "an IPv6 address has the form [2001:db8::1], without a zone"
    if "%" in host:
        raise Invalid(detail, pointer=pointer, code="bad_url")
    try:
        return IPv6Address(host)
    except ValueError as error:
        raise Invalid(detail, pointer=pointer, code="bad_url") from error


def _parse_v4_or_name(host: str, authority: str, pointer: str) -> Address | None:
    """Return the address that a host is; None: it is a name."""
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]) is None:
        if len(host) > _MOST_HOST or not all(map(_LABEL.fullmatch, labels)):
            raise Invalid("the address has no host", pointer=pointer, code="bad_url")
        return None
    detail = "an IPv4 address is written as four plain numbers, such as 203.0.113.7"
    if not authority.startswith(host):  # in other digits
        raise Invalid(detail, pointer=pointer, code="forbidden_address")
    try:
        return IPv4Address(host)
    except ValueError as error:
        raise Invalid(detail, pointer=pointer, code="forbidden_address") from error
