"""A dialect of another distribution: one folder, one line, and nothing of the service changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from jobwire.actors.dialects import joblauncher, native, pipelinejobs, registry
from jobwire.actors.operations.records import DialectRecords, Record
from jobwire.actors.stores.base import Store
from tests.cli.console import PATIENCE_S, ROOT, Console
from tests.support.receiver import receiving
from tests.support.service import Caller

_HERE: Final = Path(__file__).parent
_SETTINGS: Final = '[dialects.greetings]\nenabled = true\nlisten = "127.0.0.1:0"\nword = "ahoy"\n'


class Installed(Console):
    """A user at a shell where further distributions are installed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "data")
        self.site = folder / "site"
        self.config = folder / "jobwire.toml"

    @property
    def environment(self) -> dict[str, str]:
        """Look for distributions in a folder of their own too."""
        return super().environment | {"PYTHONPATH": f"{self.site}:{ROOT}"}

    def install(self, name: str, line: str) -> Path:
        """Install an empty distribution with one entry point; return its package's folder."""
        package = name.replace("-", "_")
        info = self.site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[jobwire.dialects]\n{line}\n")
        return self.site / package

    def stop(self) -> None:
        """Stop the service that was started last."""
        self.processes[-1].terminate()
        self.processes[-1].communicate(timeout=PATIENCE_S)

    def serve(self, settings: str) -> tuple[str, str]:
        """Start the service with settings; return its URL and what it said."""
        self.config.write_text(settings)
        _, ready = self.up("--port", "0", "--config", str(self.config))
        return ready["url"], ready["text"]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Installed]:
    """Yield a shell where the dialect of greetings is installed."""
    console = Installed(tmp_path)
    package = console.install("jobwire-greetings", "greetings = jobwire_greetings:PLUGIN")
    shutil.copytree(_HERE / "greetings", package)
    yield console
    console.close()


def _own_url(said: str) -> str:
    """Return the URL at which the dialect is alone, from what the service said at its start."""
    (line,) = [each for each in said.splitlines() if "greetings" in each]
    return line.split(" and ")[1].strip()


async def test_a_dialect_that_is_installed_and_enabled_is_whole(shell: Installed) -> None:
    url, said = shell.serve(_SETTINGS)
    key = (shell.folder / "api-key").read_text().strip()

    async with receiving() as receiver, aiohttp.ClientSession() as session:
        caller = Caller(session, url, key)
        below = await caller.get("/compat/greetings/hello")
        alone = await caller.get(f"{_own_url(said)}/hello")
        refused = await caller.get(f"{_own_url(said)}/bye")
        made = await caller.post(
            "/compat/greetings/greet", json={"name": "Ada", "url": f"{receiver.url}/x"}
        )
        await caller.post("/v1/events", json={"uuid": made.body.decode(), "name": "run"})
        (told,) = await receiver.wait(1)
    listed = shell.run("greetings")

    assert below.body.decode() == f"ahoy {url}/compat/greetings 0"
    assert alone.body.decode() == f"ahoy {_own_url(said)} 0"
    assert (refused.status, refused.json) == (404, {"sorry": "unknown_route"})
    assert (told.method, told.body) == ("PUT", b"ahoy Ada: RUNNING")
    assert listed.records == [{"name": "Ada"}, {"name": "caretaker"}]
    assert "Greetings:\n  greetings  List who was greeted." in shell.run("--help").out


async def test_what_it_promised_is_kept_when_it_is_not_enabled_any_more(shell: Installed) -> None:
    url, _ = shell.serve(_SETTINGS)
    key = (shell.folder / "api-key").read_text().strip()
    async with receiving() as receiver, aiohttp.ClientSession() as session:
        greeting = {"name": "Ada", "url": f"{receiver.url}/x"}
        made = await Caller(session, url, key).post("/compat/greetings/greet", json=greeting)
        shell.stop()

        url, _ = shell.serve("")
        caller = Caller(session, url, key)
        gone = await caller.get("/compat/greetings/hello")
        await caller.post("/v1/events", json={"uuid": made.body.decode(), "name": "run"})
        (told,) = await receiver.wait(1)
        listed = await caller.get("/v1/greetings")

    assert (gone.status, gone.json["code"]) == (404, "unknown_route")
    assert told.body == b"hello Ada: RUNNING"
    assert {"name": "Ada"} in listed.json["items"]


async def test_ports_read_headers_as_large_as_their_dialects_need(shell: Installed) -> None:
    url, said = shell.serve(_SETTINGS)

    async with aiohttp.ClientSession() as session:
        caller = Caller(session, url, None)
        places = (f"{url}/compat/greetings/hello", f"{_own_url(said)}/hello")
        good = [await caller.get(at, headers={"X-Long": "x" * 20_000}) for at in places]
        long = [await caller.get(at, headers={"X-Long": "x" * 20_600}) for at in places]
    shell.stop()
    url, _ = shell.serve("")
    async with aiohttp.ClientSession() as session:
        usual = [
            await Caller(session, url, None).get("/health/live", headers={"X-Long": "x" * size})
            for size in (8_000, 9_000)
        ]

    assert [each.body.endswith(b" 20000") for each in good] == [True, True]
    assert [each.status for each in long] == [400, 400]
    assert [each.status for each in usual] == [200, 400]


def test_a_setting_that_it_does_not_have_is_refused_with_the_nearest_one(shell: Installed) -> None:
    shell.config.write_text('[dialects.greetings]\nwordx = "x"\n')

    refused = shell.run("up", "--port", "0", "--config", str(shell.config))

    assert refused.code == 1
    assert "unknown setting dialects.greetings.wordx; did you mean dialects.greetings.word?" in (
        refused.err
    )


_PLUGIN: Final = """
from jobwire.actors.dialects.base import DialectPlugin

class Half:
    def __init__(self, context):
        pass

PLUGIN = DialectPlugin(name="broken", title="Broken", dialect="broken%s")
"""
_FAULTS: Final = {
    "a module with a fault": ("broken:PLUGIN", "raise ValueError('no such day')", "no such day"),
    "a module that is not there": ("absent:PLUGIN", "", "absent"),
    "something else": ("broken:PLUGIN", "PLUGIN = 3", "is not a dialect"),
    "a class that is not there": ("broken:PLUGIN", _PLUGIN % ".nowhere:X", "broken.nowhere"),
    "a class that is half of it": ("broken:PLUGIN", _PLUGIN % ":Half", "not a ForeignDialect"),
}


@pytest.mark.parametrize(("target", "text", "why"), _FAULTS.values(), ids=_FAULTS.keys())
def test_a_broken_dialect_stops_only_who_enables_it(
    tmp_path: Path, target: str, text: str, why: str
) -> None:
    shell = Installed(tmp_path)
    package = shell.install("broken", f"broken = {target}")
    package.mkdir()
    (package / "__init__.py").write_text(text)
    shell.config.write_text("[dialects.broken]\nenabled = true\n")
    try:
        refused = shell.run("up", "--port", "0", "--config", str(shell.config))
        helped = shell.run("--help")
        process, _ = shell.up()
        process.terminate()
        _, log = process.communicate(timeout=30)
    finally:
        shell.close()

    assert refused.code == 1
    assert "broken" in refused.err
    assert why in refused.err
    assert (helped.code, helped.err) == (0, "")
    assert process.returncode == 0
    assert "dialect_left_out" in log
    assert why in log


def test_a_dialect_that_is_not_installed_is_refused_with_those_that_are(tmp_path: Path) -> None:
    refused = Console(tmp_path).run("up", "--port", "0", JOBWIRE_DIALECTS__RIMROK__ENABLED="true")

    assert refused.code == 1
    assert "unknown setting dialects.rimrok; known: joblauncher, pipelinejobs" in refused.err


async def test_each_dialect_keeps_records_of_its_own(store: Store) -> None:
    one, other = DialectRecords(store, "one"), DialectRecords(store, "other")
    record = Record("alice", "key", b"1")

    await one.of("thing").put(record)

    assert await one.of("thing").fetch("alice", "key") == record
    assert await other.of("thing").fetch("alice", "key") is None
    assert await store.fetch("one.thing", "alice", "key") == record
    assert await one.of("thing").swap(Record("alice", "key", b"2"), b"0") is False
    assert await one.of("thing").select(None, "", 10) == [record]
    assert await one.of("thing").drop("alice", "key") is True


async def test_records_from_before_kinds_had_the_names_of_dialects_are_read(store: Store) -> None:
    kinds = ("nonce", "foreign_actor", "foreign_alias", "parked_event", "hidden_job")
    record = Record("alice", "key", b"1")
    records = DialectRecords(store, "pipelinejobs", pipelinejobs.PLUGIN.unprefixed_kinds)

    for kind in kinds:
        await store.put(kind, record)

    assert [await records.of(kind).fetch("alice", "key") for kind in kinds] == [record] * 5


def test_help_of_all_commands_loads_no_part_that_takes_long() -> None:
    code = (
        "import sys; from jobwire.actors.cli.main import run; run(['--help'])\n"
        "print({'aiohttp', 'rich', 'structlog', 'jobwire.actors.client'} & sys.modules.keys())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )

    assert "import-config" in done.stdout
    assert done.stdout.endswith("set()\n")


def test_plugins_have_the_names_of_their_entry_points() -> None:
    assert registry.foreign_names() == ["joblauncher", "pipelinejobs"]
    assert registry.plugin("native") is native.PLUGIN
    assert registry.plugin("joblauncher") is joblauncher.PLUGIN
    assert registry.plugin("pipelinejobs") is pipelinejobs.PLUGIN
