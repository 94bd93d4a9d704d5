"""The ring under a schedule: real state managers and stores, crashed, paused and started again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import msgspec
from msgspec import Struct
from ring_broker import Broker, Line
from ring_checks import violations
from ring_events import KEYRING, EventMaker, job_id
from ring_faults import Crash, Fault, Gate
from ring_script import Block, Late, Reap, Resume, Run, Send, Step, Takeover, Tick
from ring_store import RingStore, add_witness

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.reaper import Reaper
from jobwire.actors.stores.base import Commit
from jobwire.actors.transports.base import BusMessage
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.identifiers import shard_of
from jobwire.schemas.jobs import Job, advance

_SHARDS = 2
#: Entries of one job from which on a schedule meets the limit.
MOST_EVENTS = 40
#: Longest time that one batch may take; only a process that hangs needs it.
_HANGS_S = 3.0
#: Batches after which a calm ring must have nothing left to do.
_MOST_ROUNDS = 60


class Stuck(Exception):
    """A process holds packets and does nothing with them."""


class Container(Struct, frozen=True, kw_only=True):
    """What the ring is made of; a mutation changes one."""

    store: type[RingStore] = RingStore
    settler: type[Settler] = Settler
    manager: type[StateManager] = StateManager
    line: type[Line] = Line
    sql: tuple[str, ...] = ()


class Process:
    """One process of the state manager: store, connection, actor."""

    def __init__(self, world: World, name: str) -> None:
        """Build it; nothing runs yet."""
        self.name = name
        self.gate = Gate()
        parts = world.parts
        self.line = parts.line(world.broker)
        self.store = parts.store(world.path, self.gate, world.late, in_parts=world.in_parts)
        tables = LifecycleRegistry(self.store)
        settler = parts.settler(self.store, KEYRING, tables, MOST_EVENTS)
        self.manager = parts.manager(
            transport=self.line,
            store=self.store,
            settler=settler,
            telemetry=world.telemetry,
            shards=_SHARDS,
        )
        self._loop_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store and consume."""
        await self.store.open()
        await self.manager.start()
        self._loop_task = self.manager._loop._task

    async def settle(self) -> bool:
        """
        Let it work until its deliveries are done, or it stands still; False: it crashed.

        Raises:
            Stuck: it does neither.

        """
        assert self._loop_task is not None
        ends = [
            self._loop_task,
            asyncio.create_task(self.gate.paused.wait()),
            asyncio.create_task(_all_done(self.line.deliveries)),
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED, timeout=_HANGS_S)
        for end in ends[1:]:
            end.cancel()
        if self._loop_task.done():
            assert isinstance(self._loop_task.exception(), Crash)
            return False
        if all(delivery.done() for delivery in self.line.deliveries):
            self.line.deliveries.clear()
        elif not self.gate.paused.is_set():
            raise Stuck(f"{self.name} holds packets and does nothing")
        return True

    async def end(self) -> None:
        """Leave nothing of it but the file."""
        for delivery in self.line.deliveries:
            delivery.cancel()
        await asyncio.gather(*self.line.deliveries, return_exceptions=True)
        self.line.drop()
        await self.manager.stop()
        await self.store.close()


class World:
    """One schedule's world."""

    def __init__(self, path: Path, parts: Container, *, in_parts: bool, seed: int = 0) -> None:
        """Put the database at `path`."""
        self.path = path
        self.parts = parts
        self.in_parts = in_parts
        self.seed = seed
        self.broker = Broker(_SHARDS)
        self.late: list[tuple[str, Commit]] = []
        self.events = EventMaker()
        self.telemetry = Telemetry()
        self.trace: list[str] = []
        self.struck: Counter[tuple[str, str]] = Counter()
        self._processes: dict[str, Process] = {}
        self._active = "A"
        self._observer = RingStore(path, Gate(), [], in_parts=False)
        self.reaper = Reaper(
            store=self._observer,
            transport=Line(self.broker),
            registry=LifecycleRegistry(self._observer),
            keyring=KEYRING,
            post=self._post,
            clock=self.events.clock,
            telemetry=self.telemetry,
            interval_s=1,
        )

    async def play(self, script: list[Step]) -> list[str]:
        """Run a schedule to its calm end; return what it violated."""
        await self._observer.open()
        add_witness(self.path, *self.parts.sql)
        try:
            for step in script:
                await self._step(step)
            await self._calm()
        except Stuck as stuck:
            return [f"stuck: process {stuck}"]
        else:
            return await violations(self, self._observer)
        finally:
            for process in list(self._processes.values()):
                await self._end(process)
            await self._observer.close()

    async def _step(self, step: Step) -> None:
        match step:
            case Send():
                await self._send(step)
            case Run(take, fault):
                await self._run(take, fault)
            case Resume(fault):
                await self._resume(fault)
            case Takeover():
                self._take_over()
            case Late():
                await self._do_late()
            case Tick(seconds):
                self.events.now += timedelta(seconds=seconds)
            case Reap():
                self._note(f"reaper finds {await self.reaper.reap()} stale")
            case Block():
                (await self._process(self._active)).line.is_blocked = True

    async def standing(self, index: int) -> Job | None:
        """Return a job as all of its entries leave it now."""
        target = job_id(index)
        view = await self._observer.load([target], [], fold=[target], known=False)
        job = view.jobs.get(target)
        for entry in view.tails.get(target, ()):
            job = advance(job, entry)
        return job

    async def _send(self, step: Send) -> None:
        packets: dict[int, list[Event]] = {}
        for what in step.events:
            index = getattr(what, "job", 0)
            event = self.events.make(what, await self.standing(index))
            if event is not None:
                packets.setdefault(shard_of(event.job, _SHARDS), []).append(event)
        for shard, events in packets.items():
            self._enqueue(shard, events)

    async def _post(self, event: Event) -> None:
        self._enqueue(shard_of(event.job, _SHARDS), [self.events.record(event, None)])

    def _enqueue(self, shard: int, events: list[Event]) -> None:
        self._note(f"queue {shard} <- {', '.join(f'{e.job[7]}/{e.id} {e.name}' for e in events)}")
        body = encode_packet(Packet(PACKET_VERSION, tuple(events)))
        self.broker.queues[f"events.{shard}"].append(BusMessage(body))

    async def _process(self, name: str) -> Process:
        if name not in self._processes:
            process = self._processes[name] = Process(self, name)
            await process.start()
            await self.reaper.republish()
        return self._processes[name]

    async def _run(self, take: int, fault: Fault | None) -> None:
        process = await self._process(self._active)
        if process.gate.paused.is_set():
            return
        if process.line.is_closed:  # it finished what it held; now it consumes anew
            await self._end(process)
            process = await self._process(self._active)
        handed = process.line.deliver(take)
        if handed:
            process.gate.arm(fault)
            self._note(f"{process.name} takes {handed} packets" + (f", {fault}" if fault else ""))
            await self._work(process, fault)

    async def _resume(self, fault: Fault | None) -> None:
        for process in list(self._processes.values()):
            if process.gate.paused.is_set():
                self._note(f"{process.name} goes on" + (f", {fault}" if fault else ""))
                process.gate.arm(fault)
                process.gate.resume()
                await self._work(process, fault)

    async def _work(self, process: Process, fault: Fault | None) -> None:
        refused = process.line.refused
        await self._settle(process)
        if fault is None and process.line.refused > refused:
            raise Stuck(f"{process.name} gives packets back without a reason")

    async def _settle(self, process: Process) -> None:
        alive = await process.settle()
        if process.gate.paused.is_set():
            self._note(f"{process.name} stands still")
            return
        process.gate.arm(None)
        process.line.is_blocked = False
        if not alive:
            self._note(f"{process.name} crashed")
            await self._end(process)

    async def _end(self, process: Process) -> None:
        self.struck.update(process.gate.struck)
        process.gate.arm(None)
        del self._processes[process.name]
        await process.end()

    def _take_over(self) -> None:
        process = self._processes.get(self._active)
        if process is not None:
            process.line.hand_over()
        self._active = "B" if self._active == "A" else "A"
        self._note(f"{self._active} takes over")

    async def _do_late(self) -> None:
        if not self.late:
            return
        what, commit = self.late.pop(0)
        self._note(f"late {what} arrives")
        write = self._observer.insert if what == "insert" else self._observer.project
        try:
            await write(commit)
        except Unavailable as error:  # pragma: no cover - a fault of the test
            raise AssertionError from error

    async def _calm(self) -> None:
        """Let everything come to its end without further faults."""
        self._note("---- calm")
        if self.seed % 2:
            await self._resume(None)
        for _ in range(_MOST_ROUNDS):
            while self.late:
                await self._do_late()
            if self.broker.is_empty:
                if any(process.gate.paused.is_set() for process in self._processes.values()):
                    await self._resume(None)
                    continue
                self.events.now += timedelta(hours=1)
                if not await self.reaper.reap():
                    break
            standing = {name for name, p in self._processes.items() if p.gate.paused.is_set()}
            if len(standing) == len("AB"):
                await self._resume(None)
            elif self._active in standing:
                self._take_over()
            await self._run(8, None)
        else:
            raise Stuck(f"{self._active} comes to no end")
        await self.reaper.republish()

    def _note(self, text: str) -> None:
        self.trace.append(text)


async def _all_done(tasks: Collection[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def show(step: Step) -> str:
    """Write a step in one line, for the report of a failure."""
    return msgspec.json.encode(msgspec.structs.asdict(step)).decode()
