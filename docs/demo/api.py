"""Plain HTTP, as any client would speak it: nothing of Jobwire is imported here."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_JSON = {"Content-Type": "application/json"}
_TIMEOUT_S = 10.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; what is in it is for the caller to know."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """The body as NDJSON."""
        return [json.loads(line) for line in self.body.splitlines()]


class Api:
    """Calls the service with an API key."""

    def __init__(self, port: int, key: str) -> None:
        """Call the service on a port of this machine."""
        self._port = port
        self._authorization = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str) -> Answer:
        """Read."""
        return self._call("GET", path, None, self._authorization)

    def post(self, path: str) -> Answer:
        """Ask for something that needs no words."""
        return self._call("POST", path, None, self._authorization)

    def make_job(self, wanted: Mapping[str, object]) -> Any:
        """Make a job; give its id, token and webhook."""
        body = json.dumps(wanted).encode()
        return self._call("POST", "/v1/jobs", body, {**self._authorization, **_JSON}).json

    def post_lines(self, lines: list[bytes]) -> Answer:
        """Send many events in one request."""
        headers = {**self._authorization, "Content-Type": "application/x-ndjson"}
        return self._call("POST", "/v1/events", b"\n".join(lines), headers)

    def post_webhook(self, url: str, document: object) -> Answer:
        """Post a document to a webhook URL, as a platform would: without a key."""
        parts = urlsplit(url)
        body = json.dumps(document).encode()
        return self._call("POST", f"{parts.path}?{parts.query}", body, _JSON)

    def history(self, job: str) -> list[Any]:
        """Read a job's whole history, page by page."""
        entries, cursor = [], ""
        while True:
            page = self.get(f"/v1/jobs/{job}/history?limit=1000{cursor}").json
            entries += page["items"]
            if page["next"] is None:
                return entries
            cursor = f"&cursor={page['next']}"

    def stream(self, after: str) -> Iterator[tuple[str | None, Any]]:
        """Follow all entries after a place; gives each with the place to go on from, if any."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        try:
            headers = {**self._authorization, "Last-Event-ID": after}
            connection.request("GET", "/v1/stream", headers=headers)
            place: str | None = None
            for line in connection.getresponse():
                if line.startswith(b"id: "):
                    place = line[4:].decode().strip()
                elif line.startswith(b"data: "):
                    yield place, json.loads(line[6:])
                    place = None
        finally:
            connection.close()

    def _call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


class Follower:
    """Follows the stream of all jobs on a thread; comes back where it stood when it is cut off."""

    def __init__(self, api: Api, hear: Callable[[Any], None]) -> None:
        """Hear every entry once."""
        self._api = api
        self._hear = hear
        self._last: dict[str, int] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._ended = False
        self.reconnects = 0
        self.gaps = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, entries: int, timeout_s: float) -> int:
        """Wait until so many entries came; give how many did."""
        with self._changed:
            self._changed.wait_for(lambda: self._count >= entries, timeout_s)
            return self._count

    def end(self) -> None:
        """Follow no more."""
        self._ended = True

    def _run(self) -> None:
        after = "0"
        while not self._ended:
            try:
                for place, entry in self._api.stream(after):
                    after = place or after
                    self._take(entry)
            except (OSError, http.client.HTTPException):
                pass  # the service is away: come back where we stood
            self.reconnects += 1
            threading.Event().wait(0.05)

    def _take(self, entry: Any) -> None:
        with self._changed:
            last = self._last.get(entry["job"], 0)
            if entry["seq"] <= last:
                return  # a chunk that was cut off comes again as a whole
            self.gaps += entry["seq"] != last + 1
            self._last[entry["job"]] = entry["seq"]
            self._count += 1
            self._changed.notify_all()
        self._hear(entry)
