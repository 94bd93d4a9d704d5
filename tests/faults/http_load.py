"""
Clients over real HTTP that repeat every event under its id until somebody answers.

Each client keeps a ledger of what it was told; the witness compares it with what can be read back.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import aiohttp
from msgspec import Struct, field

from tests.support.deadlines import PATIENCE_S
from tests.support.stopwatch import Stopwatch

Fate = Literal["accepted", "rejected", "open"]
"""`open`: nobody has said what became of it."""

#: What clients do and when processes are killed; `JOBWIRE_FAULT_SEED` repeats it.
SEED = int(os.environ.get("JOBWIRE_FAULT_SEED", secrets.randbelow(10**6)))

#: The payload of whoever uses an id again.
ANOTHER = "another"
#: Longest time that one request may take before its client gives it up and repeats it.
_REQUEST_S = 30.0
_PAUSE_S = 0.05


class Sent(Struct):
    """One event as a client sent it."""

    id: str
    job: str
    name: str
    number: int
    fate: Fate = "open"
    is_late: bool = False
    """Sent after its job had been deleted."""
    tries: int = 0
    began: float = 0.0
    """When its last try began, by the monotonic clock."""
    is_reused: bool = False
    """Another payload was sent under its id, once it had been accepted."""

    def begin(self) -> None:
        """Begin a try."""
        self.tries += 1
        self.began = time.monotonic()


class Watched(Struct):
    """One job as its clients see it."""

    id: str
    token: str
    key: str
    data: object = None
    is_deleted: bool = False


class Ledger(Struct):
    """What the clients sent and were told."""

    events: dict[tuple[str, str], Sent] = field(default_factory=dict)
    orders: dict[tuple[int, str], list[str]] = field(default_factory=dict)
    """Of each client and job the ids in the order in which they were accepted."""
    jobs: dict[str, Watched] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    slowest: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Of each status the longest time that it took in seconds, and what was asked."""
    complaints: list[str] = field(default_factory=list)
    """What no client should ever see."""


class Answer(Struct):
    """What came back; status 0: nothing."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def read(self) -> Any:  # JSON
        """Decode the body."""
        return json.loads(self.body)


class Load:
    """Some clients that report until they are told to stop."""

    def __init__(self, url: str, api_key: Callable[[], str], seed: int, mark: str = "") -> None:
        """
        Talk to a service; everything is drawn from the seed but the order of the answers.

        Args:
            url: where the service answers.
            api_key: gives the key of the jobs' owner.
            seed: repeats a run.
            mark: begins all names, so that several runs on one service do not meet.

        """
        self.ledger = Ledger()
        self.seed = seed
        self.mark = f"{mark}{seed}"
        self._url = url
        self._api_key = api_key
        self._stopping = asyncio.Event()
        self._giving_up = asyncio.Event()
        self._clients: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def start(self, clients: int = 6) -> None:
        """Make a job that all share, then one client after the other."""
        sys.stdout.write(f"JOBWIRE_FAULT_SEED={self.seed}\n")  # shown when the test fails
        self.connect()
        shared = await self._create(f"shared-{self.mark}")
        self._clients = [
            asyncio.create_task(_Client(self, number, shared).run()) for number in range(clients)
        ]

    def connect(self) -> None:
        """Be able to ask."""
        self._session = aiohttp.ClientSession(
            self._url,
            timeout=aiohttp.ClientTimeout(total=_REQUEST_S),
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def stop(self) -> None:
        """Let every client finish its last event, however often it must repeat it."""
        self._stopping.set()
        await asyncio.gather(*self._clients)

    async def give_up(self) -> None:
        """Let the clients stop without repeating what was not answered."""
        self._giving_up.set()
        await self.stop()

    async def close(self) -> None:
        """Leave no client behind."""
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def is_stopping(self) -> bool:
        """Return whether clients shall come to their end."""
        return self._stopping.is_set()

    @property
    def is_giving_up(self) -> bool:
        """Return whether clients shall not repeat any more."""
        return self._giving_up.is_set()

    async def until(self, accepted: int, within_s: float = PATIENCE_S) -> None:
        """Wait until so many events have been accepted since now."""
        answers = self.ledger.answers
        goal = answers["accepted"] + accepted
        await eventually(
            lambda: answers["accepted"] >= goal, within_s, f"{accepted} accepted events"
        )

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        with_key: bool = True,
    ) -> Answer:
        """Ask once; no answer is an answer too."""
        assert self._session is not None
        head = {"Authorization": f"Bearer {self._api_key()}"} if with_key else {}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        watch = Stopwatch()
        if isinstance(content, bytes):
            head["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, path, data=content, headers=head | (headers or {})
            ) as response:
                answer = Answer(response.status, b"", dict(response.headers))
                answer.body = await response.read()
        except (aiohttp.ClientPayloadError, aiohttp.http.HttpProcessingError) as error:
            self.ledger.complaints.append(f"{method} {path}: half an answer: {error!r}")
            return Answer(0)
        except (aiohttp.ClientError, OSError):
            return Answer(0)
        except TimeoutError:
            self.ledger.answers["hung"] += 1
            return Answer(0)
        self._judge(method, path, answer, watch.seconds)
        return answer

    def _judge(self, method: str, path: str, answer: Answer, seconds: float) -> None:
        self.ledger.answers[str(answer.status)] += 1
        slowest = self.ledger.slowest.get(answer.status, (0.0, ""))
        self.ledger.slowest[answer.status] = max(slowest, (seconds, f"{method} {path}"))
        if answer.status == 503 and "Retry-After" not in answer.headers:
            self.ledger.complaints.append(f"{method} {path}: 503 without Retry-After")
        if answer.status >= 500 and answer.status != 503:
            self.ledger.complaints.append(f"{method} {path}: {answer.status} {answer.body!r}")

    async def insist(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        with_key: bool = True,
    ) -> Answer:
        """Ask until there is an answer that is not 503."""
        while True:
            answer = await self.ask(method, path, body, headers=headers, with_key=with_key)
            if answer.status not in (0, 503) or self.is_giving_up:
                return answer
            await asyncio.sleep(_PAUSE_S)

    async def _create(self, key: str) -> Watched:
        body = {"name": key, "tags": ["load"], "data": {"key": key}}
        answer = await self.insist("POST", "/v1/jobs", body, headers={"Idempotency-Key": key})
        if answer.status != 201:
            if not self.is_giving_up:
                self.ledger.complaints.append(f"create {key}: {answer.status} {answer.body!r}")
            raise GaveUp
        made = answer.read()
        job = Watched(made["id"], made["token"], key, body["data"])
        known = self.ledger.jobs.setdefault(job.id, job)
        if known.key != key:
            self.ledger.complaints.append(f"two keys, one job: {known.key} and {key}")
        return job


class GaveUp(Exception):
    """A client was told to stop in the middle."""


class _Client:
    """Reports on jobs of its own and on one that all share, one event after the other."""

    def __init__(self, load: Load, number: int, shared: Watched) -> None:
        self._load = load
        self._number = number
        self._shared = shared
        self._random = random.Random(load.seed * 1_000 + number)
        self._count = 0
        self._jobs: list[Watched] = []

    async def run(self) -> None:
        try:
            while not self._load.is_stopping:
                await self._act()
        except GaveUp:
            return

    async def _act(self) -> None:
        draw = self._random.random()
        if len(self._jobs) < 2 or draw < 0.02:
            await self._make()
        elif draw < 0.05:
            await self._rotate()
        elif draw < 0.054:
            await self._delete()
        elif draw < 0.065:
            await self._intrude()
        elif draw < 0.16:
            await self._many()
        else:
            await self._one(self._some_job())

    def _some_job(self) -> Watched:
        shares = self._random.random() < 0.15
        return self._shared if shares else self._random.choice(self._jobs)

    async def _make(self) -> None:
        job = await self._load._create(f"key-{self._load.mark}-{self._number}-{self._count}")
        again = await self._load._create(job.key)
        if (again.id, again.token) != (job.id, job.token):
            self._load.ledger.complaints.append(f"one key, two jobs: {job} and {again}")
        self._count += 1
        self._jobs.append(job)

    async def _rotate(self) -> None:
        job = self._random.choice(self._jobs)
        answer = await self._load.insist("POST", f"/v1/jobs/{job.id}/token", {"overlap_s": 60})
        if answer.status == 200:
            job.token = answer.read()["token"]
        elif not self._load.is_giving_up:
            self._load.ledger.complaints.append(f"rotate: {answer.status} {answer.body!r}")

    async def _delete(self) -> None:
        job = self._jobs.pop(0)
        job.is_deleted = True
        first = await self._load.ask("DELETE", f"/v1/jobs/{job.id}?force=true")
        if first.status != 204:
            await self._load.insist("DELETE", f"/v1/jobs/{job.id}?force=true")
        await self._one(job)  # too late: accepted, and kept among the refused

    async def _intrude(self) -> None:
        """Send what must be refused at once: an event with another job's token."""
        one, other = self._random.sample(self._jobs, 2)
        sent = self._next(one)
        answer = await self._load.insist(
            "POST", "/v1/events", _body(one, sent) | {"token": other.token}, with_key=False
        )
        self._settle(sent, answer.status)
        if sent.fate != "rejected" and not self._load.is_giving_up:
            self._load.ledger.complaints.append(f"a wrong token was answered {answer.status}")

    def _next(self, job: Watched) -> Sent:
        self._count += 1
        names = ("update", "update", "run", "resource", "finish", "nonsense")
        sent = Sent(
            f"{self._load.mark}.{self._number}.{self._count}",
            job.id,
            self._random.choice(names),
            self._count,
        )
        sent.is_late = job.is_deleted
        self._load.ledger.events[job.id, sent.id] = sent
        return sent

    async def _one(self, job: Watched) -> None:
        sent = self._next(job)
        send = self._random.choice((self._by_body, self._by_body, self._by_parameters, self._wait))
        while sent.fate == "open":
            sent.begin()
            answer = await send(job, sent)
            self._settle(sent, answer.status)
            await self._pause(sent)
        draw = self._random.random()
        if draw < 0.1:
            await self._repeat(job, sent)
        elif draw < 0.13:
            await self._reuse(job, sent)

    async def _repeat(self, job: Watched, sent: Sent) -> None:
        """Send a stored event again, three times in the same moment."""
        for again in await asyncio.gather(*(self._by_body(job, sent) for _ in range(3))):
            if again.status not in (0, 503, 202):
                self._load.ledger.complaints.append(f"repeated {sent}: {again.status}")

    async def _reuse(self, job: Watched, sent: Sent) -> None:
        """Send another payload under a stored event's id."""
        sent.is_reused = True
        body = _body(job, sent) | {"data": ANOTHER}
        answer = await self._load.ask("POST", "/v1/events?wait=5", body)
        if answer.status not in (0, 202, 503, 422):
            self._load.ledger.complaints.append(f"reused {sent}: {answer.status} {answer.body!r}")

    async def _by_body(self, job: Watched, sent: Sent) -> Answer:
        return await self._load.ask(
            "POST", "/v1/events", _body(job, sent) | {"token": job.token}, with_key=False
        )

    async def _by_parameters(self, job: Watched, sent: Sent) -> Answer:
        query = f"uuid={job.id}&name={sent.name}&token={job.token}&id={sent.id}"
        data = json.dumps(_data(sent)).encode()
        return await self._load.ask("POST", f"/v1/events?{query}", data, with_key=False)

    async def _wait(self, job: Watched, sent: Sent) -> Answer:
        answer = await self._load.ask("POST", "/v1/events?wait=5", _body(job, sent))
        if answer.status in (404, 409, 422):  # it was accepted, and this is its outcome
            return Answer(202)
        return answer

    async def _many(self) -> None:
        jobs = [self._some_job() for _ in range(self._random.choice((3, 10, 30)))]
        left = [(job, self._next(job)) for job in jobs]
        while left:
            for _, sent in left:
                sent.begin()
            statuses = await self._lines(left)
            for (_, sent), status in zip(left, statuses, strict=True):
                self._settle(sent, status)
            left = [(job, sent) for job, sent in left if sent.fate == "open"]
            for _, sent in left[:1]:
                await self._pause(sent)

    async def _lines(self, left: Sequence[tuple[Watched, Sent]]) -> list[int]:
        lines = [json.dumps(_body(job, sent) | {"token": job.token}) for job, sent in left]
        answer = await self._load.ask(
            "POST",
            "/v1/events",
            "\n".join(lines).encode(),
            headers={"Content-Type": "application/x-ndjson"},
            with_key=False,
        )
        if answer.status != 200:
            return [answer.status] * len(left)
        results = [json.loads(line) for line in answer.body.splitlines()]
        # Behind a line that failed, a later one of its job may say 409: both are sent again.
        return [503 if each["status"] == 409 else each["status"] for each in results]

    def _settle(self, sent: Sent, status: int) -> None:
        if status in (200, 202):
            sent.fate = "accepted"
            self._load.ledger.answers["accepted"] += 1
            self._load.ledger.orders.setdefault((self._number, sent.job), []).append(sent.id)
        elif 400 <= status < 500:
            sent.fate = "rejected"

    async def _pause(self, sent: Sent) -> None:
        if sent.fate == "open":
            if self._load.is_giving_up:
                raise GaveUp
            await asyncio.sleep(_PAUSE_S)


def _data(sent: Sent) -> dict[str, object]:
    return {"number": sent.number, "of": sent.id}


def _body(job: Watched, sent: Sent) -> dict[str, object]:
    return {"uuid": job.id, "name": sent.name, "id": sent.id, "data": _data(sent)}


async def eventually(holds: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.02)
