"""Every example of the joblauncher's contract, replayed on both pairs of bus and store."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from tests.support.deadlines import until
from tests.support.mac_receiver import MacReceiver
from tests.support.pairs import PAIRS, serving_pair
from tests.support.ports import free_port
from tests.support.receiver import Receiver, receiving
from tests.support.recordings import Stage, replay
from tests.support.service import Caller

# A fleet takes seconds to start, so the recordings share one.
pytestmark = pytest.mark.asyncio(loop_scope="module")

_RECORDINGS: Final = sorted((Path(__file__).parent / "recordings" / "joblauncher").glob("*.txt"))
_STEP_S: Final = 90.0
_ID, _KEY = "eyJzYWx0IjogIj", "_B1YfcqEYpZxyTx_-411-QdBOSI="


class Served:
    """A service that speaks the dialect alone at a port, and a receiver with credentials there."""

    def __init__(
        self, caller: Caller, base: str, project: Path, receiver: Receiver, guarded: int, basic: int
    ) -> None:
        self.caller = caller
        self.base = base
        self.project = project
        self.receiver = receiver
        self.guarded = guarded
        self.basic = basic

    def make(self, folder: str) -> Path:
        """Make a folder of a job."""
        made = self.project / folder
        made.mkdir(exist_ok=True)
        return made

    async def submit(self, folder: str, **request: Any) -> str:
        """Submit a job in a folder of its own; return its URL."""
        asked = {"jobdir": str(self.make(folder)), **request}
        made = await self.caller.post(f"{self.base}/job", json=asked)
        assert made.status == 201, made.body
        return made.headers["Location"]

    async def ended(self, url: str) -> Any:
        """Wait for the end of a job; return its status."""
        status: Any = {}

        async def is_done() -> bool:
            nonlocal status
            status = (await self.caller.get(url)).json["status"]
            return bool(status["done"])

        await until(is_done, _STEP_S)
        return status


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PAIRS)
async def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """Yield a service on each pair, in processes of its own."""
    folder = tmp_path_factory.mktemp("joblauncher")
    project, port = folder / "project", free_port()
    guarded, basic = free_port(), free_port()
    project.mkdir()
    config = folder / "jobwire.toml"
    config.write_text(
        f"""
        [staging]
        roots = ["{project}"]

        [dialects.joblauncher]
        enabled = true
        listen = "127.0.0.1:{port}"
        owner = "launcher"

        [[dialects.joblauncher.macs]]
        id = "{_ID}"
        key = "{_KEY}"
        scope = "http://127.0.0.1:{guarded}"

        [[dialects.joblauncher.basic]]
        username = "magma"
        password = "correct horse"
        scope = "http://127.0.0.1:{basic}/"
        """
    )
    serving = serving_pair(request, folder / "data", {"JOBWIRE_CONFIG": str(config)})
    async with serving, aiohttp.ClientSession() as session, receiving() as receiver:
        base = f"http://127.0.0.1:{port}"
        yield Served(Caller(session, base, None), base, project, receiver, guarded, basic)


@pytest.mark.parametrize("recording", _RECORDINGS, ids=lambda path: path.stem)
async def test_a_recording_is_answered_as_it_was(served: Served, recording: Path) -> None:
    jobdir = served.make(recording.stem)
    stage = Stage(served.caller, served.base, jobdir, served.receiver)

    await replay(recording, stage)


async def test_curl_submits_lists_shows_and_kills_as_it_always_did(
    served: Served, tmp_path: Path
) -> None:
    (served.project / "curl").mkdir()
    request = {
        "jobdir": str(served.project / "curl"),
        "executable": "/bin/sleep",
        "arguments": ["600"],
        "prestaged": [],
        "poststaged": [],
    }
    (tmp_path / "query.json").write_text(json.dumps(request))

    async def curl(*options: str) -> str:
        command = ["curl", "-sS", *options]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=True, timeout=90
        )
        return done.stdout

    url = f"{served.base}/job"
    said = await curl(
        "-i", "-d", f"@{tmp_path}/query.json", "-H", "Content-Type: application/json",
        "-X", "POST", url,
    )  # fmt: skip
    head = said.splitlines()
    (location,) = [line.split(": ")[1] for line in head if line.startswith("Location: ")]
    listed = json.loads(await curl(url))
    shown = json.loads(await curl(location))
    killed = await curl("-i", "-X", "DELETE", location)

    assert head[0] == "HTTP/1.1 201 Created"
    assert location in listed
    assert shown["request"]["arguments"] == ["600"]
    assert killed.startswith("HTTP/1.1 204 No Content")
    assert json.loads(await curl(location))["status"]["state"] == "KILLED"


@pytest.mark.parametrize("challenges", [False, True])
async def test_a_receiver_that_checks_mac_takes_every_callback_once(
    served: Served, challenges: bool
) -> None:
    checking = MacReceiver(_ID, _KEY, challenges_first=challenges)
    async with checking.listening(served.guarded):
        url = await served.submit(
            f"mac-{challenges}",
            executable="/bin/true",
            status_callback_url=f"http://127.0.0.1:{served.guarded}/runs/7?key=a%20b&n=2",
        )
        await served.ended(url)
        await until(lambda: checking.is_done, _STEP_S)

    assert [each["state"] for each in checking.taken] == ["PENDING", "RUNNING", "DONE"]
    assert checking.refused == []
    # Signed at once, so a receiver that asks for nothing else never has to challenge.
    assert checking.challenged == (3 if challenges else 0)
    assert len(set(checking.nonces)) == len(checking.nonces)


async def test_a_receiver_with_a_password_gets_it_at_once(served: Served) -> None:
    async with receiving(served.basic) as receiver:
        url = await served.submit(
            "basic",
            executable="/bin/true",
            status_callback_url=f"http://127.0.0.1:{served.basic}/runs/8",
        )
        await served.ended(url)
        received = await receiver.wait(3, _STEP_S)

    assert {each.headers["authorization"] for each in received} == {
        "Basic bWFnbWE6Y29ycmVjdCBob3JzZQ=="
    }


async def test_where_no_credential_is_in_scope_none_is_sent(served: Served) -> None:
    url = await served.submit(
        "plain",
        executable="/bin/true",
        status_callback_url=served.receiver.url.replace("hook", "plain"),
    )
    await served.ended(url)
    await until(lambda: _told(served.receiver, "/plain") == 3, _STEP_S)

    told = [each for each in served.receiver.received if each.path == "/plain"]
    assert not any("authorization" in each.headers for each in told)
    assert all(each.headers["content-type"] == "application/json; charset=UTF-8" for each in told)
    assert {each.headers["jobwire-job"] for each in told} == {url.rpartition("/")[2]}
    sequence = [int(each.headers["jobwire-sequence"]) for each in told]
    assert sequence == sorted(set(sequence))
    assert all(each.headers["jobwire-timestamp"].endswith("+00:00") for each in told)


def _told(receiver: Receiver, path: str) -> int:
    return sum(each.path == path for each in receiver.received)
