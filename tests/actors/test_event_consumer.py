"""Events of other systems on the bus: what is taken in, what is refused, and what waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from jobwire.actors.dialects.native.event_consumer import EventConsumer
from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.operations.events import Events
from jobwire.actors.runtime.settings import Limits
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Handler
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.addresses import EVENTS_IN
from jobwire.schemas.codec import canonical
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event, TokenAuthority, payload_digest
from jobwire.schemas.identifiers import shard_of
from jobwire.schemas.tokens import mint_token
from tests.support.deadlines import turns, until
from tests.support.factories import KEYRING, NOW, after, job_id
from tests.support.packing import packing

_SHARDS = 2
_JOB = job_id()
_TOKEN = mint_token(KEYRING, _JOB, 1)
_PLAIN = {"uuid": _JOB, "name": "run", "token": _TOKEN, "id": "e"}
_CLOUD = {"specversion": "1.0", "type": "run", "subject": _JOB, "id": "e", "token": _TOKEN}
_BEARER = {"authorization": f"Bearer {_TOKEN}"}
_STRUCTURED = "application/cloudevents+json"


class _Bus(EmbeddedTransport):
    """A bus whose messages the test hands out itself."""

    def __init__(self) -> None:
        super().__init__()
        self.handler: Handler | None = None
        self.aside: list[tuple[BusMessage, str]] = []
        self.is_full = False
        self.refused = 0

    async def consume(self, queue: str, handler: Handler) -> ConsumerHandle:
        assert queue == EVENTS_IN
        self.handler = handler
        return await super().consume(queue, handler)

    async def dead_letter(self, queue: str, message: BusMessage, reason: str) -> None:
        assert queue == EVENTS_IN
        if self.is_full:
            self.refused += 1
            raise Unavailable("the dead-letter queue is full")
        self.aside.append((message, reason))


class _Bench:
    """An inlet, and all that it posts."""

    def __init__(self) -> None:
        self.bus = _Bus()
        self.telemetry = Telemetry()
        self.posted: list[Event] = []
        self.broken: set[int] = set()
        packer = packing(self._send, shards=_SHARDS)
        self.events = Events(
            packer=packer,
            replies=ReplyInbox(),
            keyring=KEYRING,
            clock=lambda: NOW,
            data_bytes=1_000,
        )
        limits = Limits(body_bytes=2_000)
        self.event_consumer = EventConsumer(self.bus, self.events, limits, self.telemetry)

    async def take(self, *messages: BusMessage) -> None:
        """Hand out a batch; return when it is acknowledged."""
        assert self.bus.handler is not None
        await self.bus.handler(messages)

    async def taken(self, message: BusMessage) -> Event:
        """Hand out one message that is an event; return that."""
        await self.take(message)
        assert self.bus.aside == []
        (event,) = self.posted
        return event

    async def refused(self, message: BusMessage) -> str:
        """Hand out one message that is no event; return the reason."""
        await self.take(message)
        assert self.posted == []
        ((aside, reason),) = self.bus.aside
        assert aside is message
        return reason

    def counted(self, name: str, **labels: str) -> float | None:
        """Return the value of a counter."""
        return self.telemetry.registry.get_sample_value(f"jobwire_messages_{name}_total", labels)

    async def _send(self, shard: int, events: tuple[Event, ...]) -> None:
        if shard in self.broken:
            raise Unavailable("the shard is away")
        self.posted += events


@pytest.fixture
async def bench() -> _Bench:
    """Return an inlet that has started."""
    bench = _Bench()
    await bench.event_consumer.start()
    return bench


def _message(body: Any, **fields: Any) -> BusMessage:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return BusMessage(content, **fields)


def _binary(head: str = "cloudEvents_", body: bytes = b"", **attributes: Any) -> BusMessage:
    """Write a CloudEvent with its attributes as headers; None leaves one out."""
    named = {**_CLOUD, **attributes}
    headers = {f"{head}{name}": value for name, value in named.items() if value is not None}
    return BusMessage(body, content_type="application/json" if body else None, headers=headers)


def _structured(**attributes: Any) -> BusMessage:
    named = {**_CLOUD, **attributes}
    body = {name: value for name, value in named.items() if value is not None}
    return _message(body, content_type=_STRUCTURED)


# --- forms ----------------------------------------------------------------------------------------


_FULL = {"source": "/lab", "time": "2026-03-01T12:00:05Z"}
_DATA = b'{ "b": 1, "a": [null] }'

FORMS = {
    "plain": _message({**_PLAIN, **_FULL, "data": json.loads(_DATA)}),
    "plain, typed": _message(
        {**_PLAIN, **_FULL, "data": json.loads(_DATA)},
        content_type="application/json; charset=utf-8",
    ),
    "binary": _binary(body=_DATA, **_FULL),
    "binary, older": _binary("cloudEvents:", body=_DATA, **_FULL),
    "binary, a time stamp of AMQP": _binary(body=_DATA, source="/lab", time=after(5)),
    "binary, as bytes": _binary(
        body=_DATA, source=_FULL["source"].encode(), time=_FULL["time"].encode()
    ),
    "structured": _structured(data=json.loads(_DATA), **_FULL),
    "structured, typed": _message(
        {**_CLOUD, **_FULL, "data": json.loads(_DATA), "datacontenttype": "application/json"},
        content_type=f"{_STRUCTURED}; charset=utf-8",
    ),
}


@pytest.mark.parametrize("message", FORMS.values(), ids=FORMS)
async def test_every_form_says_the_same(bench: _Bench, message: BusMessage) -> None:
    event = await bench.taken(message)

    assert (event.id, event.job, event.name) == ("e", _JOB, "run")
    assert (event.source, event.occurred, event.received) == ("/lab", after(5), NOW)
    assert event.authority == TokenAuthority(_TOKEN)
    assert event.digest == payload_digest("run", canonical(_DATA))


@pytest.mark.parametrize("form", [_message, None], ids=["plain", "structured"])
async def test_a_message_without_data_is_an_event_without_data(bench: _Bench, form: Any) -> None:
    event = await bench.taken(_message(_PLAIN) if form else _structured())

    assert (event.data, event.digest) == (None, payload_digest("run", b""))


async def test_a_leading_job_does_not_belong_to_the_name(bench: _Bench) -> None:
    await bench.take(_structured(type="job.run"), _binary(type="job.run"))

    assert [event.name for event in bench.posted] == ["run", "run"]


async def test_the_job_is_named_in_either_case(bench: _Bench) -> None:
    event = await bench.taken(_structured(subject=_JOB.upper()))

    assert event.job == _JOB


async def test_the_id_of_the_message_is_the_id_of_a_plain_event(bench: _Bench) -> None:
    nameless = {name: value for name, value in _PLAIN.items() if name != "id"}

    await bench.take(
        _message(nameless, message_id="of the message"), _message(_PLAIN, message_id="another")
    )

    assert [event.id for event in bench.posted] == ["of the message", "e"]


@pytest.mark.parametrize(
    "message",
    [
        _message({**_PLAIN, "token": None}, headers=_BEARER),
        _message({**_PLAIN, "token": None}, headers={"Authorization": f"Bearer {_TOKEN}".encode()}),
        structs.replace(_structured(token=None), headers=_BEARER),
        BusMessage(b"", headers={**dict(_binary(token=None).headers), **_BEARER}),
    ],
    ids=["plain", "as bytes", "structured", "binary"],
)
async def test_the_token_may_be_a_header(bench: _Bench, message: BusMessage) -> None:
    event = await bench.taken(message)

    assert event.authority == TokenAuthority(_TOKEN)


# --- refusals -------------------------------------------------------------------------------------


REFUSED = {
    "no json": (_message(b"{"), "invalid_json"),
    "no utf-8": (_message(b"\xff"), "invalid_json"),
    "nothing": (_message(b""), "invalid_json"),
    "too deep": (_message(b"[" * 40 + b"]" * 40), "json_limits"),
    "too large": (_message({**_PLAIN, "source": "x" * 2_000}), "too_large"),
    "too much data": (_message({**_PLAIN, "data": "x" * 1_200}), "too_large"),
    "another type": (_message(_PLAIN, content_type="text/plain"), "unsupported_media_type"),
    "unknown field": (_message({**_PLAIN, "nmae": "x"}), "invalid"),
    "no job": (_message({**_PLAIN, "uuid": "7"}), "invalid"),
    "control character": (_message({**_PLAIN, "name": "a\nb"}), "invalid"),
    "reserved id": (_message({**_PLAIN, "id": "jobwire.x"}), "reserved_id"),
    "year 1": (_message({**_PLAIN, "time": "0001-01-01T00:00:00Z"}), "invalid"),
    "no zone": (_message({**_PLAIN, "time": "2026-01-01T00:00:00"}), "invalid"),
    "no id": (_message({**_PLAIN, "id": None}), "id_required"),
    "bad message id": (_message({**_PLAIN, "id": None}, message_id="a\nb"), "invalid"),
    "no token": (_message({**_PLAIN, "token": None}), "token_missing"),
    "an API key": (
        _message({**_PLAIN, "token": None}, headers={"authorization": "Bearer jwk_abc"}),
        "wrong_token",
    ),
    "basic": (
        _message({**_PLAIN, "token": None}, headers={"authorization": "Basic YTpi"}),
        "token_missing",
    ),
    "another job's token": (_message({**_PLAIN, "uuid": job_id(2)}), "wrong_token"),
    "structured: another version": (_structured(specversion="0.3"), "invalid"),
    "structured: no version": (_structured(specversion=None), "invalid"),
    "structured: no id": (
        structs.replace(_structured(id=None), message_id="of the message"),
        "id_required",
    ),
    "structured: no subject": (_structured(subject=None), "invalid"),
    "structured: a subject that is no job": (_structured(subject="/x"), "invalid"),
    "structured: base64": (_structured(data_base64="AAA="), "invalid"),
    "structured: xml": (_structured(datacontenttype="text/xml"), "unsupported_media_type"),
    "structured: reserved id": (_structured(id="jobwire.x"), "reserved_id"),
    "batch": (
        _message([_CLOUD], content_type="application/cloudevents-batch+json"),
        "unsupported_media_type",
    ),
    "binary: another version": (_binary(specversion="0.3"), "invalid"),
    "binary: no type": (_binary(type=None), "invalid"),
    "binary: no id": (_binary(id=None), "id_required"),
    "binary: a number for an id": (_binary(id=7), "invalid"),
    "binary: no json": (_binary(body=b"<x/>"), "invalid_json"),
    "binary: xml": (
        structs.replace(_binary(body=b"1"), content_type="text/xml"),
        "unsupported_media_type",
    ),
}


@pytest.mark.parametrize(("message", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_event_is_set_aside_with_the_reason(
    bench: _Bench, message: BusMessage, code: str
) -> None:
    reason = await bench.refused(message)

    assert reason.startswith(f"{code}: ")
    assert _TOKEN not in reason
    assert bench.counted("refused", code=code) == 1
    assert bench.counted("accepted") == 0


async def test_a_fault_of_the_service_holds_up_no_other_message(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = bench.events.build

    def fail_for_poison(**fields: Any) -> Event:
        if fields["event_id"] == "poison":
            raise RuntimeError
        return build(**fields)

    monkeypatch.setattr(bench.events, "build", fail_for_poison)

    await bench.take(_message({**_PLAIN, "id": "poison"}), _message(_PLAIN))

    assert [event.id for event in bench.posted] == ["e"]
    assert [reason.partition(":")[0] for _, reason in bench.bus.aside] == ["internal"]


# --- batches --------------------------------------------------------------------------------------


def _numbered(numbers: Sequence[int], job: int = 1) -> list[BusMessage]:
    token = mint_token(KEYRING, job_id(job), 1)
    plain = {"uuid": job_id(job), "name": "update", "token": token}
    return [_message({**plain, "id": str(number)}) for number in numbers]


async def test_a_batch_is_posted_in_order_without_what_is_no_event(bench: _Bench) -> None:
    good = _numbered(range(5))

    await bench.take(*good[:2], _message(b"{"), *good[2:])

    assert [event.id for event in bench.posted] == ["0", "1", "2", "3", "4"]
    assert len(bench.bus.aside) == 1
    assert bench.counted("accepted") == 5


async def test_a_batch_waits_until_all_of_it_is_safe_and_keeps_each_jobs_order(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobwire.actors.dialects.native.event_consumer._PAUSE_S", 0.01)
    away = shard_of(job_id(1), _SHARDS)
    other = next(n for n in range(2, 20) if shard_of(job_id(n), _SHARDS) != away)
    bench.broken.add(away)

    taking = asyncio.ensure_future(
        bench.take(*_numbered(range(3)), *_numbered(range(3), other), _message(b"{"))
    )
    await until(lambda: len(bench.posted) == 3)
    await turns()
    was_done, was_aside = taking.done(), list(bench.bus.aside)
    bench.broken.clear()
    await taking

    assert not was_done
    assert was_aside == []
    assert [event.job for event in bench.posted[:3]] == [job_id(other)] * 3
    assert [event.id for event in bench.posted[3:]] == ["0", "1", "2"]
    assert len(bench.bus.aside) == 1


async def test_a_batch_that_waits_stays_on_the_bus_when_the_inlet_stops(bench: _Bench) -> None:
    bench.broken.update(range(_SHARDS))
    taking = asyncio.ensure_future(bench.take(*_numbered(range(3)), _message(b"{")))
    await turns()

    await bench.event_consumer.stop()

    with pytest.raises(Unavailable):
        await taking
    assert bench.bus.aside == []
    assert bench.counted("accepted") == 0


async def test_a_batch_waits_until_its_letters_can_be_put_aside(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobwire.actors.dialects.native.event_consumer._PAUSE_S", 0.01)
    bench.bus.is_full = True

    taking = asyncio.ensure_future(
        bench.take(_message(b"{"), _message(_PLAIN), _message(b"["), _message(b"{"))
    )
    await until(lambda: bench.bus.refused >= 6)
    was_done = taking.done()
    bench.bus.is_full = False
    await taking

    assert not was_done
    assert [event.id for event in bench.posted] == ["e"]
    assert [message.body for message, _ in bench.bus.aside] == [b"{", b"[", b"{"]
    assert bench.counted("accepted") == 1


async def test_a_batch_whose_letters_wait_stays_on_the_bus_when_the_inlet_stops(
    bench: _Bench,
) -> None:
    bench.bus.is_full = True
    taking = asyncio.ensure_future(bench.take(_message(_PLAIN), _message(b"{")))
    await until(lambda: bench.bus.refused > 0)

    await bench.event_consumer.stop()

    with pytest.raises(Unavailable):
        await taking
    assert bench.counted("accepted") == 0


async def test_the_inlet_says_whether_it_consumes() -> None:
    bench = _Bench()
    before = bench.event_consumer.not_ready()

    await bench.event_consumer.start()
    begun = bench.event_consumer.not_ready()
    await bench.event_consumer.stop()
    await bench.event_consumer.stop()

    assert (before, begun, bench.event_consumer.not_ready()) == ("inlet", None, "inlet")
