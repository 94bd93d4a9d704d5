"""The dialect: it greets, by making a job, and tells of the job in a word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from aiohttp import web
from msgspec import Struct

from jobwire.actors.dialects.answers import page
from jobwire.actors.dialects.base import DialectActor, DialectContext, ForeignDialect, Notice
from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.operations.job_creation import JobRequest
from jobwire.actors.operations.records import OwnedRecords, Record
from jobwire.actors.runtime.actor import Actor
from jobwire.schemas.deliveries import Callback, Subscription
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.jobs import Entry, Job

from .settings import Greetings


class Greeting(Struct, frozen=True):
    """Whom to greet, and where to tell of it."""

    name: str
    url: str


class Caretaker:
    """An actor: it says once that it is there."""

    name = "caretaker"

    def __init__(self, records: OwnedRecords) -> None:
        """Write among the records of the dialect."""
        self._records = records

    async def start(self) -> None:
        """Answer with the greeting."""
        await self._records.put(Record("admin", "caretaker", b""))

    async def stop(self) -> None:
        """Have nothing in hand."""

    def not_ready(self) -> str | None:
        """Lack nothing."""
        return None


class GreetingsDialect(ForeignDialect):
    """Greets."""

    name = "greetings"
    header_bytes = 20_480

    def __init__(self, context: DialectContext[Greetings]) -> None:
        """Keep who was greeted."""
        self._context = context
        self._greeted = context.records.of("greeted")

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the routes."""
        return [web.get("/hello", self.hello), web.post("/greet", self.greet)]

    async def hello(self, request: web.Request) -> web.Response:
        """Answer with its address and the size of a header."""
        size = len(request.headers.get("X-Long", ""))
        return web.Response(text=f"{self._context.own.word} {base_url(request)} {size}")

    async def greet(self, request: web.Request) -> web.Response:
        """Make a job of a greeting."""
        principal = await self._context.guard.caller(request, "jobs")
        greeting = msgspec.json.decode(
            await self._context.guard.body(request, 1_000), type=Greeting
        )
        made = await self._context.operations.jobs.create(
            principal,
            JobRequest(
                name=greeting.name, callbacks=(Callback(url=greeting.url, events=("run",)),)
            ),
            None,
            dialect=self.name,
        )
        await self._greeted.put(Record(principal.name, greeting.name, b""))
        return web.Response(text=made.id)

    def problem(self, error: JobwireError) -> web.Response:
        """Be sorry."""
        return web.json_response({"sorry": error.code}, status=error.status)

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        """Return the state in a sentence."""
        del subscription
        said = f"{self._context.own.word} {job.name}: {entry.state}"
        return Notice(said.encode(), "PUT", (("Content-Type", "text/plain"),))

    def native_routes(self) -> Iterable[web.RouteDef]:
        """Add the list of who was greeted."""
        return [web.get("/v1/greetings", self.all)]

    async def all(self, request: web.Request) -> web.Response:
        """List who was greeted."""
        principal = await self._context.guard.caller(request, "read")
        found = await self._greeted.select(principal.name, "", 100)
        return page([{"name": each.key} for each in found], None)

    def actors(self) -> Sequence[DialectActor]:
        """Let the caretaker work where it is."""
        return (DialectActor(self._caretaker, role="caretaker"),)

    def _caretaker(self) -> Actor:
        return Caretaker(self._greeted)
