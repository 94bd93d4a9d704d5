"""Binds an address to listen on, with a clear error when that fails."""

from __future__ import annotations

import socket

from jobwire.schemas.errors import Misconfigured


def listen_on(host: str, port: int, hint: str, *, shared: bool = False) -> socket.socket:
    """
    Take an address.

    Args:
        host: name or number of this machine.
        port: 0 takes a free one.
        hint: what to do when it is taken.
        shared: other processes of the service may take it too; the kernel spreads the connections.

    Raises:
        Misconfigured: the address is taken, or not this machine's.

    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        detail = f"cannot listen on {host} port {port}: {error.strerror}; {hint}"
        raise Misconfigured(detail) from error
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the base URL of an address that was taken."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
