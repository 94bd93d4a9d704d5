"""A small receiver of callbacks, as anybody would write one: it verifies, then shows what came."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver(ThreadingHTTPServer):
    """Listens on a free port of loopback."""

    daemon_threads = True

    def __init__(self, hear: Callable[[Any], None]) -> None:
        """Hear every message that is genuine."""
        super().__init__(("127.0.0.1", 0), _Take)
        self.hear = hear
        self.secrets: dict[str, str] = {}
        """The secret of each callback, by the path of its URL."""
        self.messages: list[Any] = []
        self.forged = 0
        self._changed = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, messages: int, timeout_s: float) -> int:
        """Wait until so many messages came; give how many did."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.messages) >= messages, timeout_s)
            return len(self.messages)

    def take(self, message: Any) -> None:
        """Remember a genuine message."""
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
        self.hear(message)


class _Take(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver

    def do_POST(self) -> None:
        """Verify the signature over the exact bytes, and only then believe them."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        secret = self.server.secrets.get(self.path, "whsec_AAAA")
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            message = Webhook(secret).verify(body, headers)
        except (WebhookVerificationError, ValueError):
            self.server.forged += 1
            self.send_response(400)
        else:
            self.server.take(message)
            self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""
