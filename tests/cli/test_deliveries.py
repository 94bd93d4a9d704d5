"""What callbacks were told, looked at and told again at a shell."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from rich.cells import cell_len

from tests.cli.console import Console, plain, texts, wait_until


class Receiver:
    """Keeps the ids of the messages that came to each path; answers as it is told."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((self.path, self.headers["webhook-id"]))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.status = 200
        self.received: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def url(self, path: str) -> str:
        """Return an address of it."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver on loopback."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Yield a shell with a service that gives a delivery up after its second try."""
    made = Console(tmp_path_factory.mktemp("shell") / "data")
    made.up(JOBWIRE_PORT="0", JOBWIRE_CALLBACKS__SCHEDULE_S="0,0.2")
    yield made
    made.close()


def told(console: Console, receiver: Receiver, status: str = "delivered") -> tuple[str, str]:
    """Make a job with a callback; return its id and its delivery's, when that has a status."""
    path = f"/{uuid.uuid4().hex}"
    job = console.ask("/v1/jobs", {"callbacks": [{"url": receiver.url(path)}]})["id"]
    found: list[Any] = []

    def is_told() -> bool:
        found[:] = console.ask(f"/v1/deliveries?job={job}&status={status}")["items"]
        return bool(found)

    wait_until(is_told, f"it to be {status}")
    return job, found[0]["id"]


def test_deliveries_of_a_job_are_listed_and_shown(console: Console, receiver: Receiver) -> None:
    job, delivery = told(console, receiver)

    shown = console.run("deliveries", delivery).record
    everything = console.run("deliveries", "--all").records

    assert (shown["job"], shown["status"], shown["event"]) == (job, "delivered", "create")
    assert [each["status"] for each in shown["attempts"]] == [200]
    assert delivery in [each["id"] for each in everything]
    assert console.run("deliveries", job, "--status", "gave_up").records == []
    assert console.run("deliveries", job, "--since", "2199-01-01").records == []


def test_a_list_is_cut_at_its_limit(console: Console, receiver: Receiver) -> None:
    for _ in range(2):
        told(console, receiver)

    listed = console.run("deliveries", "--limit", "1")

    assert (len(listed.records), "--all" in listed.err) == (1, True)


def test_a_delivery_is_sent_again_under_its_id(console: Console, receiver: Receiver) -> None:
    receiver.status = 500
    _, delivery = told(console, receiver, "gave_up")
    receiver.status = 200

    asked = console.run("redeliver", delivery)

    assert (asked.code, asked.record["id"]) == (0, delivery)
    wait_until(
        lambda: console.ask(f"/v1/deliveries/{delivery}")["status"] == "delivered", "the delivery"
    )
    assert len(set(receiver.received)) == 1, "the receiver can tell the repetition"
    assert len(receiver.received) == 3


def test_all_that_gave_up_since_a_time_are_sent_again(console: Console, receiver: Receiver) -> None:
    receiver.status = 500
    one, two = (told(console, receiver, "gave_up")[1] for _ in range(2))
    receiver.status = 200

    asked = console.run("redeliver", "--since", "2020-01-01")

    assert asked.code == 0
    assert asked.record["deliveries"] >= 2
    for delivery in (one, two):
        wait_until(
            lambda: console.ask(f"/v1/deliveries/{delivery}")["status"] == "delivered",  # noqa: B023 - waited for at once
            "the delivery",
        )


@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_shows_them_within_its_width(
    console: Console, receiver: Receiver, columns: int
) -> None:
    receiver.status = 500
    job, delivery = told(console, receiver, "gave_up")

    listed = plain(console.look("deliveries", job, columns=columns).out)
    shown = plain(console.look("deliveries", delivery, columns=columns).out)

    assert any(delivery in line and "✘ gave up" in line for line in listed)
    assert "after its last try" in texts(shown)
    assert sum("500" in line for line in shown) >= 2, "each try"
    assert max(cell_len(line) for line in (*listed, *shown)) <= columns


def test_a_new_callback_shows_its_secret_once(console: Console, receiver: Receiver) -> None:
    made = texts(plain(console.look("create", "--callback", receiver.url("/x"), columns=200).out))
    (job,) = (each["id"] for each in console.run("ls", "--limit", "1").records)

    shown = texts(plain(console.look("show", job, columns=100).out))

    assert "verifies with whsec_" in made
    assert receiver.url("/x") in shown
    assert "whsec_" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("deliveries", "msg_nobodys"), 1, "there is no delivery"),
        (("redeliver", "msg_nobodys"), 1, "there is no delivery"),
        (("redeliver",), 2, "--since"),
        (("redeliver", "msg_x", "--since", "2020-01-01"), 2, "--since"),
        (("create", "--callback", "ftp://x/"), 1, "http"),
    ],
)
def test_what_cannot_be_done_is_said(
    console: Console, arguments: tuple[str, ...], code: int, said: str
) -> None:
    failed = console.run(*arguments)

    assert failed.code == code
    assert said in failed.err
    assert "Traceback" not in failed.err
