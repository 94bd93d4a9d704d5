"""The stager in the ring: real files, and a crash at every step."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.messaging.packer import Packer
from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.operations.events import Events
from jobwire.actors.runtime import failpoints
from jobwire.actors.runtime.settings import StagingSettings
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.sites import Sandbox
from jobwire.actors.stager.actor import Stager
from jobwire.actors.staging_roots import StagingRoots
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.commit_publisher import publish_awaited
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.system import now
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.actors.workers.gateway import WorkerGateway
from jobwire.actors.workers.store_gateway import StoreWorkerGateway
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Plan
from jobwire.schemas.reports import Exited, Failed, Running, Submitting
from jobwire.schemas.specs import Spec
from tests.support.deadlines import PATIENCE_S, turns, until
from tests.support.factories import KEYRING, OWNER, job_id, make_create, make_creation, make_signed
from tests.support.packing import packing
from tests.support.sites import make_site


@dataclass
class Ring:
    """A state manager and a stager, with real folders."""

    folder: Path
    store: SqliteStore
    transport: EmbeddedTransport
    packer: Packer
    gateway: WorkerGateway
    settings: StagingSettings = field(default_factory=StagingSettings)
    stagers: list[Stager] = field(default_factory=list)

    @property
    def own(self) -> Path:
        """The owner's folder."""
        return self.folder / "files" / OWNER

    def sandbox(self, job: JobId, attempt: int = 1) -> Path:
        """Return the directory that a job runs in."""
        return self.folder / "sandboxes" / Sandbox(job, attempt).work

    def put(self, path: str, data: bytes | str = b"data", mode: int = 0o644) -> Path:
        """Put a file into the owner's folder."""
        file = self.own / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        file.chmod(mode)
        return file

    async def stager(self, **fields: Any) -> Stager:
        """Start a stager; the one before it, if any, is stopped."""
        for each in self.stagers:
            await each.stop()
        site = make_site(self.folder / "sandboxes")
        roots = StagingRoots(self.folder / "files", [f"{self.folder}/data"], FileTree)
        fields.setdefault("pauses_s", (0.01, 0.01))
        stager = Stager(
            transport=self.transport,
            gateway=self.gateway,
            sites={"local": site},
            roots=roots,
            settings=self.settings,
            **fields,
        )
        await stager.start()
        self.stagers.append(stager)
        return stager

    async def make(self, number: int = 1, *, tries: int = 1, **spec: Any) -> JobId:
        """Make a job; its first command is published."""
        wanted = msgspec.convert({"argv": ["true"], **spec}, Spec)
        plan = Plan(
            stage_in=wanted.brings_in(),
            stage_out=bool(wanted.stage_out),
            tries=tries,
            retry_on=("staging", "exit_code"),
            clean_when="always",
        )
        creation = make_creation(lifecycle="execution", plan=plan, spec=wanted)
        await self.post(make_create(job=job_id(number), creation=creation, received=now()))
        return job_id(number)

    async def post(self, event: Event) -> None:
        """Post an event."""
        await self.packer.put(event)

    async def cancel(self, job: JobId) -> None:
        """Cancel a job, as its owner would."""
        await self.post(make_signed("cancel", job=job, received=now()))

    async def run(self, job: JobId, **ending: Any) -> None:
        """Report a run and its end, as a submitter would."""
        attempt = (await self.job(job)).attempt
        await self.gateway.report(job, attempt, Submitting())
        await self.gateway.report(job, attempt, Running())
        await self.gateway.report(job, attempt, Exited(**{"exit_code": 0, **ending}))

    async def job(self, job: JobId) -> Job:
        """Return a job."""
        found = await self.store.get(OWNER, job)
        assert found is not None
        return found

    async def reaches(self, job: JobId, state: str) -> Job:
        """Wait until a job is in a state."""

        async def has_reached() -> bool:
            return (await self.job(job)).state == state

        await until(has_reached)
        return await self.job(job)

    async def entries(self, job: JobId, name: str) -> list[Entry]:
        """Return a job's entries of one name."""
        history = await self.store.history(OWNER, job, 0, 1_000)
        return [entry for entry in history if entry.name == name]

    async def said(self, job: JobId, name: str) -> Any:
        """Return the data of a job's one entry of a name."""
        (entry,) = await self.entries(job, name)
        return msgspec.json.decode(entry.data or b"null")

    async def republish(self, job: JobId) -> None:
        """Publish the awaited command again, as the reaper would."""
        await publish_awaited(self.transport, Telemetry(), [await self.job(job)])


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[Ring]:
    """Yield a ring without a stager."""
    store = SqliteStore(tmp_path / "jobwire.db")
    await store.open()
    transport, replies = EmbeddedTransport(), ReplyInbox()

    async def send(shard: int, events: tuple[Event, ...]) -> None:
        packet = encode_packet(Packet(PACKET_VERSION, events))
        await transport.send(f"events.{shard}", [packet])

    packer = packing(send)
    events = Events(packer=packer, replies=replies, keyring=KEYRING, clock=now, data_bytes=65_536)
    settler = Settler(store, KEYRING, LifecycleRegistry(store), 10_000)
    manager = StateManager(
        transport=transport, store=store, settler=settler, telemetry=Telemetry(), shards=1
    )
    await transport.open()
    await replies.start(transport)
    await manager.start()
    gateway = StoreWorkerGateway(store=store, events=events, keyring=KEYRING, clock=now)
    ring = Ring(tmp_path, store, transport, packer, gateway)
    yield ring
    async with asyncio.timeout(PATIENCE_S):
        for stager in ring.stagers:
            await stager.stop()
        await packer.close()
        await transport.close()
        await manager.stop()
        await store.close()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tree(folder: Path) -> dict[str, str | None]:
    """Return all paths below a folder, with the text of files."""
    return {
        str(each.relative_to(folder)): each.read_text() if each.is_file() else None
        for each in sorted(folder.rglob("*"))
    }


def _is_bare(folder: Path) -> bool:
    """Return whether a folder is empty, or not there; it may be removed in this moment."""
    try:
        return not any(folder.iterdir())
    except FileNotFoundError:
        return True


async def test_files_come_in_by_name_by_pattern_and_by_directory(ring: Ring) -> None:
    await ring.stager()
    ring.put("in/a.csv", "a", 0o640)
    ring.put("in/b.csv", "b")
    ring.put("tool", "#!", 0o755)
    ring.put("d/e/f", "f")
    (ring.own / "d/empty").mkdir()
    (ring.folder / "data").mkdir()
    (ring.folder / "data/shared").write_text("s")

    job = await ring.make(
        stage_in=[
            {"from": "in/*.csv", "to": "csv/"},
            {"from": "tool", "to": "bin/"},
            {"from": "d"},
            {"from": f"file://{ring.folder}/data/shared", "sha256": _digest(b"s")},
        ]
    )
    await ring.reaches(job, "STAGED")

    assert _tree(ring.sandbox(job)) == {
        "bin": None,
        "bin/tool": "#!",
        "csv": None,
        "csv/a.csv": "a",
        "csv/b.csv": "b",
        "d": None,
        "d/e": None,
        "d/e/f": "f",
        "d/empty": None,
        "shared": "s",
    }
    assert (ring.sandbox(job) / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (ring.sandbox(job) / "csv/a.csv").stat().st_mode & 0o777 == 0o640
    said = await ring.said(job, "staged")
    assert (said["files"], said["bytes"]) == (5, 6)
    assert said["copied"][0] == {"path": "csv/a.csv", "size": 1, "sha256": _digest(b"a")}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"from": "missing.csv"}, ["missing.csv"]),
        ({"from": "in/*.txt"}, ["in/*.txt"]),
        ({"from": "x", "sha256": "0" * 64}, ["x", "SHA-256"]),
        ({"from": "link"}, ["link"]),
        ({"from": "fifo"}, ["fifo"]),
        ({"from": "d"}, ["d/link"]),
        ({"from": "way/secret"}, ["way/secret"]),
        ({"from": "file:///etc/passwd"}, ["/etc/passwd", "staging.roots"]),
        ({"from": "big"}, ["big", "1000"]),
    ],
)
async def test_what_cannot_be_brought_in_fails_the_job_and_is_named(
    ring: Ring, line: dict[str, str], words: list[str]
) -> None:
    ring.settings = StagingSettings(file_bytes=1_000)
    await ring.stager()
    ring.put("x")
    ring.put("big", bytes(1_001))
    outside = ring.folder / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (ring.own / "d").mkdir()
    for name in ("link", "d/link"):
        (ring.own / name).symlink_to(outside / "secret")
    (ring.own / "way").symlink_to(outside)
    os.mkfifo(ring.own / "fifo")

    job = await ring.make(stage_in=[line])
    failed = await ring.reaches(job, "FAILED")

    said = await ring.said(job, "fail")
    assert failed.cause == "staging"
    assert all(word in said["detail"] for word in words), said
    assert job not in said["detail"]
    assert _is_bare(ring.sandbox(job))


@pytest.mark.parametrize("there", [False, True])
async def test_a_directory_that_a_job_needs_must_be_there(ring: Ring, there: bool) -> None:
    await ring.stager()
    directory = ring.folder / "data"
    if there:
        directory.mkdir()

    job = await ring.make(directory=f"file://{directory}", needs_directory=True)
    reached = await ring.reaches(job, "STAGED" if there else "FAILED")

    said = reached.ending.detail if reached.ending else ""
    assert (reached.cause, f"no directory '{directory}'" in str(said)) == (
        (None, False) if there else ("staging", True)
    )


async def test_a_directory_that_a_job_needs_is_no_file(ring: Ring) -> None:
    await ring.stager()
    (ring.folder / "data").write_text("a file")

    job = await ring.make(directory=f"file://{ring.folder}/data", needs_directory=True)
    failed = await ring.reaches(job, "FAILED")

    assert failed.cause == "staging"


async def test_files_go_out_and_the_job_ends_with_its_exit_code(ring: Ring) -> None:
    await ring.stager()
    ring.put("in", "i")
    job = await ring.make(
        stage_in=[{"from": "in"}],
        stage_out=[
            {"from": "out.txt", "to": "results/"},
            {"from": "logs/*.log", "to": "results/logs"},
            {"from": "maybe", "to": "x", "optional": True},
        ],
    )
    await ring.reaches(job, "STAGED")
    box = ring.sandbox(job)
    (box / "logs").mkdir()
    (box / "logs/a.log").write_text("log")
    (box / "out.txt").write_text("out")

    await ring.run(job)
    await ring.reaches(job, "FINISHED")

    assert _tree(ring.own / "results") == {"logs": None, "logs/a.log": "log", "out.txt": "out"}
    said = await ring.said(job, "finish")
    assert (said["exit_code"], said["files"], said["bytes"]) == (0, 2, 6)
    assert said["copied"][0] == {"path": "out.txt", "size": 3, "sha256": _digest(b"out")}


async def test_a_failed_job_brings_out_what_is_always_wanted_and_keeps_its_cause(
    ring: Ring,
) -> None:
    await ring.stager()
    job = await ring.make(
        stage_out=[
            {"from": "log", "to": "log", "when": "always"},
            {"from": "result", "to": "result"},
        ]
    )
    ring.sandbox(job).mkdir(parents=True)
    (ring.sandbox(job) / "log").write_text("why")

    await ring.run(job, exit_code=3, cause="exit_code", detail="exit code 3")
    failed = await ring.reaches(job, "FAILED")

    assert (ring.own / "log").read_text() == "why"
    assert failed.cause == "exit_code"
    assert failed.ending is not None
    assert (failed.ending.exit_code, failed.ending.detail) == (3, "exit code 3")


async def test_a_failed_job_whose_files_are_missing_too_tells_of_both(ring: Ring) -> None:
    await ring.stager()
    job = await ring.make(stage_out=[{"from": "log", "to": "log", "when": "always"}])
    ring.sandbox(job).mkdir(parents=True)

    await ring.run(job, exit_code=137, signal="SIGKILL", cause="signal", detail="killed")
    failed = await ring.reaches(job, "FAILED")

    assert failed.cause == "signal"
    assert failed.ending is not None
    assert (failed.ending.exit_code, failed.ending.signal) == (137, "SIGKILL")
    assert "killed" in str(failed.ending.detail)
    assert "'log'" in str(failed.ending.detail)
    assert "'log'" in str(failed.ending.stage_out_problem)
    assert "killed" not in str(failed.ending.stage_out_problem)


async def test_a_job_that_succeeded_but_left_no_output_fails_in_staging_with_its_exit_code(
    ring: Ring,
) -> None:
    await ring.stager()
    job = await ring.make(
        stage_out=[{"from": "missing", "to": "r/"}, {"from": "there", "to": "r/"}]
    )
    ring.sandbox(job).mkdir(parents=True)
    (ring.sandbox(job) / "there").write_text("x")

    await ring.run(job)
    failed = await ring.reaches(job, "FAILED")

    assert failed.cause == "staging"
    assert failed.ending is not None
    assert failed.ending.exit_code == 0
    assert "missing" in str(failed.ending.detail)
    assert "'missing'" in str(failed.ending.stage_out_problem)
    assert (ring.own / "r/there").read_text() == "x"


def _link(box: Path, outside: Path) -> None:
    (box / "out").symlink_to(outside / "secret")


def _directory_link(box: Path, outside: Path) -> None:
    (box / "out").symlink_to(outside)


def _fifo(box: Path, _outside: Path) -> None:
    os.mkfifo(box / "out")


def _link_inside(box: Path, outside: Path) -> None:
    (box / "out").mkdir()
    (box / "out/in").symlink_to(outside / "secret")


def _work_is_a_link(box: Path, outside: Path) -> None:
    box.rmdir()
    box.symlink_to(outside)
    (outside / "out").write_text("secret")


def _foreign_link(box: Path, outside: Path) -> None:
    if os.geteuid():
        pytest.skip("NO FILE OF ANOTHER USER COULD BE MADE: run as root")
    os.chown(outside / "secret", 12345, 12345)
    os.link(outside / "secret", box / "out")


@pytest.mark.parametrize(
    "plant", [_link, _directory_link, _fifo, _link_inside, _work_is_a_link, _foreign_link]
)
async def test_what_a_job_plants_is_not_brought_out_and_named(
    ring: Ring, plant: Callable[[Path, Path], None]
) -> None:
    await ring.stager()
    outside = ring.folder / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    job = await ring.make(stage_out=[{"from": "out", "to": "out"}])
    ring.sandbox(job).mkdir(parents=True)
    plant(ring.sandbox(job), outside)

    await ring.run(job)
    failed = await ring.reaches(job, "FAILED")

    assert failed.cause == "staging"
    assert failed.ending is not None
    assert "out" in str(failed.ending.detail)
    assert (outside / "secret").read_text() == "secret"
    assert "secret" not in _tree(ring.own).values() if ring.own.exists() else True


async def test_a_link_in_the_way_of_a_target_is_not_written_through(ring: Ring) -> None:
    await ring.stager()
    outside = ring.folder / "outside"
    outside.mkdir()
    ring.own.mkdir(parents=True)
    (ring.own / "way").symlink_to(outside)
    job = await ring.make(stage_out=[{"from": "out", "to": "way/out"}])
    ring.sandbox(job).mkdir(parents=True)
    (ring.sandbox(job) / "out").write_text("x")

    await ring.run(job)
    failed = await ring.reaches(job, "FAILED")

    assert failed.cause == "staging"
    assert list(outside.iterdir()) == []


class _Crash(RuntimeError):
    """A crash that the test makes."""


def _once(name: str, *, passes: int = 1) -> list[str]:
    """Fail at the n-th pass of a place; return the list that says whether it happened."""
    happened: list[str] = []
    left = [passes]

    def strike() -> None:
        left[0] -= 1
        if left[0] == 0:
            happened.append(name)
            raise _Crash(name)

    failpoints.arm(name, strike)
    return happened


@pytest.mark.parametrize(
    ("place", "passes"),
    [
        ("stager.before_copy", 1),
        ("stager.before_copy", 2),
        ("stager.before_commit", 2),
        ("stager.after_copy", 1),
        ("stager.before_staged", 1),
    ],
)
async def test_staging_in_that_breaks_off_anywhere_is_done_again_from_the_beginning(
    ring: Ring, place: str, passes: int
) -> None:
    happened = _once(place, passes=passes)
    await ring.stager()
    for name in "abc":
        ring.put(name, name)
    job = await ring.make(stage_in=[{"from": "*"}])
    await until(lambda: bool(happened))

    async def is_staged() -> bool:
        await ring.republish(job)
        return (await ring.job(job)).state == "STAGED"

    await until(is_staged)

    assert _tree(ring.sandbox(job)) == {"a": "a", "b": "b", "c": "c"}
    assert len(await ring.entries(job, "stage")) == 1
    assert len(await ring.entries(job, "staged")) == 1


@pytest.mark.parametrize(
    "place",
    ["stager.before_copy", "stager.before_commit", "stager.after_copy", "stager.before_finish",
     "stager.after_finish"],
)  # fmt: skip
async def test_staging_out_that_breaks_off_anywhere_is_done_again_and_reported_once(
    ring: Ring, place: str
) -> None:
    happened = _once(place)
    await ring.stager()
    job = await ring.make(stage_out=[{"from": "out", "to": "r/"}])
    ring.sandbox(job).mkdir(parents=True)
    (ring.sandbox(job) / "out").write_text("x")
    await ring.run(job)
    await until(lambda: bool(happened))

    async def is_finished() -> bool:
        if (await ring.job(job)).state == "COLLECTING":
            await ring.republish(job)
        return (await ring.job(job)).state == "FINISHED"

    await until(is_finished)

    assert _tree(ring.own / "r") == {"out": "x"}
    assert len(await ring.entries(job, "finish")) == 1


_COPY = """
import asyncio, os, sys
from pathlib import Path
from jobwire.actors.filesystems.base import FileLocation
from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.runtime.failpoints import arm_from_environment
from jobwire.actors.stager.transfer import copy
arm_from_environment(os.environ)
source = FileLocation(FileTree(Path(sys.argv[1])), "x")
target = FileLocation(FileTree(Path(sys.argv[2])), "x")
done = asyncio.run(copy(source, target, limit=10**9, sha256=None, tag="t", moved=lambda _: None))
print(done.sha256)
"""


async def test_a_process_killed_before_the_name_leaves_no_half_file_and_the_next_cleans_up(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    data = os.urandom(9_000_000)
    (source / "x").write_bytes(data)

    async def run(points: str) -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _COPY, str(source), str(target),
            env={"PYTHONPATH": os.pathsep.join(sys.path), "JOBWIRE_FAILPOINTS": points},
            stdout=subprocess.PIPE,
        )  # fmt: skip
        return process.returncode, (await process.communicate())[0] or b""

    await run("stager.before_commit=kill@1")
    left = [each.name for each in target.iterdir()]
    _, printed = await run("")

    assert left == [".x.t.part"]
    assert [each.name for each in target.iterdir()] == ["x"]
    assert (target / "x").read_bytes() == data
    assert printed.decode().strip() == _digest(data)


async def test_a_file_that_grows_beyond_its_limit_while_it_is_copied_is_given_up(
    ring: Ring,
) -> None:
    ring.settings = StagingSettings(file_bytes=200_000)
    file = ring.put("growing", bytes(150_000))

    def grow() -> None:
        with file.open("ab") as more:
            more.write(bytes(150_000))

    failpoints.arm("stager.before_copy", grow)
    await ring.stager()
    job = await ring.make(stage_in=[{"from": "growing"}])
    failed = await ring.reaches(job, "FAILED")

    assert failed.cause == "staging"
    assert "growing" in str(failed.ending and failed.ending.detail)
    assert _is_bare(ring.sandbox(job))


async def test_a_copy_that_is_tried_again_counts_once(ring: Ring) -> None:
    tries: list[None] = []

    def fail_once() -> None:
        tries.append(None)
        if len(tries) == 1:
            raise Unavailable("away for a moment")

    failpoints.arm("stager.before_commit", fail_once)
    ring.put("x", bytes(1_000))
    await ring.stager()
    job = await ring.make(stage_in=[{"from": "x"}])
    await ring.reaches(job, "STAGED")

    said = await ring.said(job, "staged")
    assert (len(tries), said["files"], said["bytes"]) == (2, 1, 1_000)
    assert list(_tree(ring.sandbox(job))) == ["x"]


async def test_a_sparse_giant_counts_with_all_its_bytes(ring: Ring) -> None:
    ring.settings = StagingSettings(file_bytes=10**9)
    await ring.stager()
    job = await ring.make(stage_out=[{"from": "giant", "to": "giant"}])
    ring.sandbox(job).mkdir(parents=True)
    with (ring.sandbox(job) / "giant").open("wb") as giant:
        giant.truncate(10**12)

    await ring.run(job)
    failed = await ring.reaches(job, "FAILED")

    assert "giant" in str(failed.ending and failed.ending.detail)
    assert not (ring.own / "giant").exists()


async def test_so_many_jobs_at_a_time_are_copied_for_and_a_command_in_hand_is_not_taken_twice(
    ring: Ring,
) -> None:
    ring.settings = StagingSettings(parallel=2)
    ring.put("x")
    begun: list[str] = []
    gate = asyncio.Event()
    intend = ring.gateway.intend

    async def slow(command: Any, report: Any) -> bool:
        begun.append(command.job)
        await gate.wait()
        return await intend(command, report)

    ring.gateway.intend = slow  # type: ignore[method-assign]
    stager = await ring.stager()
    jobs = [await ring.make(number, stage_in=[{"from": "x"}]) for number in range(1, 7)]
    await until(lambda: len(begun) == 2)
    for job in jobs:
        await ring.republish(job)
    await turns()
    assert len(stager._waiting) == 4
    first = list(begun)
    gate.set()
    for job in jobs:
        await ring.reaches(job, "STAGED")

    assert sorted(first) == jobs[:2]
    assert sorted(begun) == jobs  # each once, also those that were published again


async def test_jobs_that_wait_for_their_files_are_served_in_their_order(ring: Ring) -> None:
    ring.settings = StagingSettings(parallel=1)
    ring.put("x")
    jobs = [await ring.make(number, stage_in=[{"from": "x"}]) for number in range(1, 7)]
    await ring.stager()
    for job in jobs:
        await ring.reaches(job, "STAGED")

    entries = [(await ring.entries(job, "staged"))[0] for job in jobs]
    assert [each.received for each in entries] == sorted(each.received for each in entries)


async def test_an_owner_with_many_jobs_keeps_nobody_waiting(ring: Ring) -> None:
    ring.settings = StagingSettings(parallel=1)
    done: list[str] = []

    async def note(command: Any) -> None:
        done.append(f"{command.owner} {command.attempt}")

    ring.gateway.assignment = note  # type: ignore[method-assign]
    commands = [
        Command(job_id(n), EventId("create"), "StageIn", n, owner=owner)
        for n, owner in enumerate(["alice"] * 5 + ["bob"] * 2, 1)
    ]
    await ring.stager()
    await ring.transport.send(
        "commands.stager", [msgspec.msgpack.encode(each) for each in commands]
    )
    await until(lambda: len(done) == len(commands))

    assert done == ["alice 1", "bob 6", "alice 2", "bob 7", "alice 3", "alice 4", "alice 5"]


async def test_a_job_that_is_cancelled_while_its_files_come_in_is_left_alone(ring: Ring) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()
    ring.put("x", bytes(1_000_000))
    stager = await ring.stager(look_s=0.02)

    class Slow(FileTree):
        async def open_read(self, path: str, start: int = 0) -> Any:
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()
            return await super().open_read(path, start)

    stager._roots = StagingRoots(ring.folder / "files", (), Slow)
    job = await ring.make(stage_in=[{"from": "x"}])
    await until(started.is_set)

    await ring.cancel(job)
    await until(stopped.is_set)
    await until(lambda: not stager._in_hand)

    assert (await ring.job(job)).state == "CANCELLING"
    assert await ring.entries(job, "staged") == []
    assert _is_bare(ring.sandbox(job))


async def test_files_that_fail_to_come_in_after_a_cancel_are_left_to_the_cancel(
    ring: Ring,
) -> None:
    gate = asyncio.Event()
    ring.put("x")
    stager = await ring.stager(look_s=60)

    class Broken(FileTree):
        async def open_read(self, path: str, start: int = 0) -> Any:
            await gate.wait()
            return await super().open_read(f"{path}.gone", start)

    stager._roots = StagingRoots(ring.folder / "files", (), Broken)
    job = await ring.make(stage_in=[{"from": "x"}])
    await ring.reaches(job, "STAGING")

    await ring.cancel(job)
    await ring.reaches(job, "CANCELLING")
    gate.set()
    await until(lambda: not stager._in_hand)
    await turns()

    assert (await ring.job(job)).state == "CANCELLING"
    assert await ring.entries(job, "fail") == []


async def test_lists_that_stand_for_too_much_are_given_up_before_all_of_it_is_known(
    ring: Ring,
) -> None:
    ring.settings = StagingSettings(job_files=10)
    seen: list[int] = []
    for number in range(8):
        ring.put(f"d/{number}")

    class Counting(FileTree):
        async def walk(self, path: str, limit: int, **fields: Any) -> Any:
            seen.append(limit)
            return await super().walk(path, limit, **fields)

    stager = await ring.stager()
    stager._roots = StagingRoots(ring.folder / "files", (), Counting)
    job = await ring.make(
        stage_in=[{"from": "d/*" if n % 2 else "d", "to": f"copy{n}/"} for n in range(50)]
    )
    failed = await ring.reaches(job, "FAILED")

    assert failed.cause == "staging"
    assert "more than 10 files" in (await ring.said(job, "fail"))["detail"]
    assert seen == [10, 2]
    assert _is_bare(ring.sandbox(job))


async def test_as_many_files_as_there_may_be_come_in_from_several_lines(ring: Ring) -> None:
    ring.settings = StagingSettings(job_files=4)
    await ring.stager()
    for name in ("d/a", "d/b", "x"):
        ring.put(name)

    job = await ring.make(stage_in=[{"from": "x"}, {"from": "d"}])
    await ring.reaches(job, "STAGED")

    assert sorted(_tree(ring.sandbox(job))) == ["d", "d/a", "d/b", "x"]


async def test_a_report_stays_small_however_long_the_names_of_the_files_are(ring: Ring) -> None:
    await ring.stager()
    for number in range(160):
        ring.put(f"d/{number:03}{'ü' * 100}")

    job = await ring.make(stage_in=[{"from": "d/*"}], clean_up={"keep": ["*"]})
    await ring.reaches(job, "STAGED")
    (staged,) = await ring.entries(job, "staged")
    said = msgspec.json.decode(staged.data or b"null")
    await ring.gateway.report(job, 1, Submitting())
    await ring.gateway.report(job, 1, Failed(cause="exit_code", exit_code=1))

    async def is_clean() -> bool:
        return bool(await ring.entries(job, "cleaned"))

    await until(is_clean)
    (cleaned,) = await ring.entries(job, "cleaned")
    kept = msgspec.json.decode(cleaned.data or b"null")

    assert len(staged.data or b"") < 33_000
    assert len(cleaned.data or b"") < 33_000
    assert len(said["copied"]) + said["copied_more"] == said["files"] == 160
    assert len(kept["kept"]) + kept["kept_more"] == 160
    assert min(said["copied_more"], kept["kept_more"]) > 0


async def test_a_long_copy_tells_how_far_it_is_and_a_short_one_does_not(ring: Ring) -> None:
    gate = asyncio.Event()
    ring.put("a", b"12345")
    ring.put("b", b"123")
    stager = await ring.stager(look_s=0.02)

    class Slow(FileTree):
        async def open_read(self, path: str, start: int = 0) -> Any:
            if path == "b":
                await gate.wait()
            return await super().open_read(path, start)

    stager._roots = StagingRoots(ring.folder / "files", (), Slow)
    job = await ring.make(stage_in=[{"from": "a"}, {"from": "b"}])

    async def has_told() -> bool:
        return len(await ring.entries(job, "update")) >= 2

    await until(has_told)
    gate.set()
    await ring.reaches(job, "STAGED")
    quick = await ring.make(2, stage_in=[{"from": "a"}])
    await ring.reaches(quick, "STAGED")

    last = (await ring.entries(job, "update"))[-1]
    assert msgspec.json.decode(last.data or b"") == {
        "stage": "in",
        "files": 1,
        "bytes": 5,
        "total_bytes": 8,
    }
    assert await ring.entries(quick, "update") == []


@pytest.fixture
def small_data(ring: Ring) -> Path:
    """Return a root on a disk of one mebibyte."""
    disk = ring.folder / "data"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False)
    if not mounted or mounted.returncode:
        reason = "NO DISK COULD BE FILLED: run as root"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return disk


async def _unmount(disk: Path) -> None:
    await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_fails_the_job_after_some_tries_and_leaves_nothing(
    ring: Ring, small_data: Path
) -> None:
    try:
        await ring.stager()
        job = await ring.make(stage_out=[{"from": "big", "to": f"file://{small_data}/big"}])
        ring.sandbox(job).mkdir(parents=True)
        (ring.sandbox(job) / "big").write_bytes(bytes(3_000_000))

        await ring.run(job)
        failed = await ring.reaches(job, "FAILED")

        assert failed.cause == "staging"
        assert "No space left" in str(failed.ending and failed.ending.detail)
        assert _tree(small_data) == {}
    finally:
        await _unmount(small_data)


async def test_room_that_comes_back_while_it_is_tried_is_enough(
    ring: Ring, small_data: Path
) -> None:
    try:
        (small_data / "filler").write_bytes(bytes(900_000))
        tries: list[None] = []

        def look() -> None:
            tries.append(None)
            if len(tries) == 2:
                (small_data / "filler").unlink()

        failpoints.arm("stager.before_copy", look)
        await ring.stager()
        job = await ring.make(stage_out=[{"from": "big", "to": f"file://{small_data}/big"}])
        ring.sandbox(job).mkdir(parents=True)
        (ring.sandbox(job) / "big").write_bytes(bytes(500_000))

        await ring.run(job)
        await ring.reaches(job, "FINISHED")

        assert (small_data / "big").stat().st_size == 500_000
        said = await ring.said(job, "finish")
        assert said["bytes"] == 500_000
    finally:
        await _unmount(small_data)


async def _ended(ring: Ring, **spec: Any) -> JobId:
    """Make a job that has ended, without a stager."""
    job = await ring.make(tries=2, **spec)
    for attempt in (1, 2):
        ring.sandbox(job, attempt).mkdir(parents=True)
        (ring.sandbox(job, attempt).parent / "control").mkdir()
        for name in ("stdout", "stderr", "scratch", "logs/a", "logs/b/c", "core"):
            file = ring.sandbox(job, attempt) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
        await ring.gateway.report(job, attempt, Submitting())
        await ring.gateway.report(job, attempt, Failed(cause="exit_code", exit_code=1))
    await ring.reaches(job, "FAILED")
    return job


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (None, ["stderr", "stdout"]),
        (["logs"], ["logs", "logs/a", "logs/b", "logs/b/c"]),
        (["**/c", "core"], ["core", "logs", "logs/b", "logs/b/c"]),
    ],
)
async def test_a_clean_up_leaves_what_is_kept_of_the_newest_attempt(
    ring: Ring, keep: list[str] | None, left: list[str]
) -> None:
    job = await _ended(ring, clean_up={"keep": keep})
    await ring.stager()
    await ring.republish(job)

    async def is_clean() -> bool:
        return (await ring.job(job)).outstanding is None

    await until(is_clean)

    assert list(_tree(ring.sandbox(job, 2))) == left
    assert sorted(each.name for each in (ring.folder / "sandboxes" / job).iterdir()) == ["2"]
    assert not (ring.sandbox(job, 2).parent / "control").exists()
    said = await ring.said(job, "cleaned")
    assert said["kept"] == [each for each in left if (ring.sandbox(job, 2) / each).is_file()]


async def test_a_clean_up_that_keeps_nothing_leaves_no_folder_and_may_be_repeated(
    ring: Ring,
) -> None:
    job = await _ended(ring, clean_up={"keep": []})
    outside = ring.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (ring.sandbox(job, 2) / "link").symlink_to(outside)
    await ring.stager()
    for _ in range(2):
        await ring.republish(job)

    async def is_clean() -> bool:
        return (await ring.job(job)).outstanding is None

    await until(is_clean)

    assert not (ring.folder / "sandboxes" / job).exists()
    assert (outside / "precious").read_text() == "x"


async def test_a_command_that_is_no_longer_awaited_does_nothing(ring: Ring) -> None:
    ring.put("x")
    job = await ring.make(stage_in=[{"from": "x"}])
    stale = (await ring.job(job)).command()
    assert stale is not None
    assert stale.queue is not None
    await ring.cancel(job)
    await ring.reaches(job, "CANCELLED")
    stager = await ring.stager()

    await ring.transport.send(stale.queue, [msgspec.msgpack.encode(stale), b"not a command"])
    await until(lambda: not stager._in_hand and not len(stager._waiting))

    assert list((ring.folder / "sandboxes").iterdir()) == []
    assert await ring.entries(job, "stage") == []


async def test_a_stager_that_stops_in_the_middle_leaves_no_half_file(ring: Ring) -> None:
    reached, gate = asyncio.Event(), asyncio.Event()
    ring.put("x", bytes(5_000_000))
    stager = await ring.stager()

    class Slow(FileTree):
        async def open_write(self, path: str, mode: int = 0o644, *, tag: str | None = None) -> Any:
            writer = await super().open_write(path, mode, tag=tag)

            async def stuck() -> None:
                reached.set()
                await gate.wait()

            writer.commit = stuck  # type: ignore[method-assign]
            return writer

    stager._sites["local"].host.files = Slow(ring.folder / "sandboxes")
    job = await ring.make(stage_in=[{"from": "x"}])
    await until(reached.is_set)

    async with asyncio.timeout(PATIENCE_S):
        await stager.stop()

    assert _is_bare(ring.sandbox(job))
    assert await ring.entries(job, "fail") == []
