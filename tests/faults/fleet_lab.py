"""A fleet of processes on a broker and a database of its own, and trials of what it bears."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from fleet_trial import Trial
from http_load import SEED, Load
from http_witness import Witness
from run_fleet import Fleet as Yard
from run_receiver import Receiver

from jobwire.schemas.identifiers import JobId, shard_of
from tests.support.deadlines import PATIENCE_S, until
from tests.support.fleet import ALL, Fleet, Member
from tests.support.mongodb import MongoServer
from tests.support.rabbitmq import RabbitServer
from tests.support.servers import new_folder, remove_folder, serving
from tests.support.stopwatch import Stopwatch

SHARDS: Final = 4
#: Characters of what each process wrote that are shown when a trial fails.
_SAID: Final = 3_000

_SETTINGS: Final = {
    "JOBWIRE_SHARDS": str(SHARDS),
    # One address plays all clients, among them some with wrong tokens.
    "JOBWIRE_LIMITS__FAILED_LOGINS_PER_MINUTE": "1000000",
    "JOBWIRE_LOCAL__SLOTS": "4",
    "JOBWIRE_CALLBACKS__SCHEDULE_S": "0,0.2,0.5,1,2,4,8",
}


class Lab:
    """The servers, the processes, and those who watch them."""

    def __init__(
        self, rabbit: RabbitServer, mongo: MongoServer, fleet: Fleet, receiver: Receiver
    ) -> None:
        """Work with what runs."""
        self.rabbit = rabbit
        self.mongo = mongo
        self.fleet = fleet
        self._receiver = receiver
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def trial(self, url: str | None = None, clients: int = 6) -> AsyncIterator[Trial]:
        """Have clients report to a gateway all the time, and judge in the end what was kept."""
        await self._heal()
        key = self.fleet.api_key
        load = Load(url or self.fleet.url, lambda: key, SEED, f"{next(self._numbers)}-")
        try:
            await load.start(clients)
            trial = Trial(load, Witness(self.fleet.url, key), self.fleet)
            yield trial
            await trial.judge()
        except BaseException:
            for member in self.fleet.members.values():
                sys.stdout.write(f"--- {member.name}: {member.said()[-_SAID:]}\n")
            raise
        finally:
            await load.close()

    @asynccontextmanager
    async def yard(self) -> AsyncIterator[Yard]:
        """Have jobs run, files staged and receivers told; judge it in the end."""
        mark = f"job-{next(self._numbers)}"
        folder = self.fleet.folder / "yards" / mark
        yard = Yard(self.fleet.url, folder, self._receiver, mark)
        yard.key = self.fleet.api_key
        try:
            yield yard
            await yard.wait()
            assert await yard.complaints() == []
        finally:
            await yard.close()

    async def _heal(self) -> None:
        """Mend what a trial that failed has left broken."""
        if self.rabbit.is_running:
            self.rabbit.resume()
        else:
            await asyncio.to_thread(self.rabbit.start)
        self.mongo.resume()
        await asyncio.to_thread(self.mongo.start)
        for member in self.fleet.members.values():
            if member.is_running:
                member.resume()
            elif member.has_run:
                await member.start()
        await self.fleet.ready()

    async def misses(self, name: str, part: str) -> bool:
        """Return whether a process names a part as missing."""
        missing = await self.fleet[name].not_ready()
        return any(each.startswith(f"{part}:") for each in missing or ())

    async def restart(self, name: str, failpoints: str = "") -> Member:
        """Kill a process and start it again."""
        member = self.fleet[name]
        await member.kill()
        await member.start(failpoints)
        return member

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any, float]:
        """Ask the gateway once, as the owner; return the status, the JSON and the seconds."""
        async with AsyncExitStack() as stack:
            key = self.fleet.api_key
            load = Load(self.fleet.url, lambda: key, SEED)
            stack.push_async_callback(load.close)
            load.connect()
            watch = Stopwatch()
            answer = await load.ask(method, path, body)
            assert load.ledger.complaints == []
            seconds = watch.seconds
        return answer.status, json.loads(answer.body or b"null"), seconds

    async def job_of_each_shard(self) -> list[JobId]:
        """Make jobs until there is one in every shard; return them in the order of the shards."""
        found: dict[int, JobId] = {}
        while len(found) < SHARDS:
            status, made, _ = await self.ask("POST", "/v1/jobs", {"name": "probe"})
            if status == 201:
                found.setdefault(shard_of(made["id"], SHARDS), made["id"])
        return [found[shard] for shard in range(SHARDS)]

    async def stored_again(self, jobs: Sequence[JobId], within_s: float) -> float:
        """Return the seconds until a new event of each of these jobs was stored: not too many."""
        watch = Stopwatch()

        async def await_stored(job: JobId) -> None:
            await until(lambda: self._is_stored(job), within_s + PATIENCE_S)

        await asyncio.gather(*map(await_stored, jobs))
        seconds = watch.seconds
        assert seconds <= within_s
        return seconds

    async def _is_stored(self, job: JobId) -> bool:
        """Send an event; say whether it is stored within a second."""
        update = {"uuid": job, "name": "update"}
        return (await self.ask("POST", "/v1/events?wait=1", update))[0] == 200


@asynccontextmanager
async def laboratory(
    members: int = 1, names: Sequence[str] = ALL, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Lab]:
    """Run a fleet on a broker, and a database of so many members, that may be broken."""
    folder = new_folder("fleet")
    async with AsyncExitStack() as stack:
        stack.callback(remove_folder, folder)
        rabbit = stack.enter_context(serving(RabbitServer))
        mongo = stack.enter_context(serving(partial(MongoServer, members=members)))
        receiver = Receiver()
        await receiver.start()
        stack.push_async_callback(receiver.close)
        fleet = new_fleet(folder, rabbit.vhost(), mongo.database(), settings)
        stack.push_async_callback(fleet.close)
        await fleet.start(names)
        yield Lab(rabbit, mongo, fleet, receiver)


def new_fleet(
    folder: Path, broker_url: str, database_url: str, settings: Mapping[str, str] | None = None
) -> Fleet:
    """Prepare a fleet for these tests; nothing runs yet."""
    roots = {"JOBWIRE_STAGING__ROOTS": str(folder / "yards")}
    return Fleet(folder, broker_url, database_url, {**_SETTINGS, **roots, **(settings or {})})


def say(what: str) -> None:
    """Print a figure; it is shown with `-s`, and when the test fails."""
    sys.stdout.write(f"FIGURE {what}\n")
