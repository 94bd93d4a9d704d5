"""The recordings of the PipelineJobs manager over both pairs of bus and store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import pytest_asyncio

from tests.dialects.replay import read, recordings, replay
from tests.support.deadlines import until
from tests.support.pairs import PAIRS, serving_pair
from tests.support.service import Caller

# A fleet takes seconds to start, so the recordings share one.
pytestmark = pytest.mark.asyncio(loop_scope="module")

_ENABLED: Final = {"JOBWIRE_DIALECTS__PIPELINEJOBS__ENABLED": "true"}
_PARKING: Final = {**_ENABLED, "JOBWIRE_DIALECTS__PIPELINEJOBS__EARLY": "park"}
#: Those that need no other settings.
_RECORDINGS: Final = [
    name for name in recordings("pipelinejobs") if not read("pipelinejobs", name).settings
]


@asynccontextmanager
async def _serving(
    request: pytest.FixtureRequest, folder: Path, settings: dict[str, str]
) -> AsyncIterator[Caller]:
    async with (
        serving_pair(request, folder / "data", settings) as (url, key),
        aiohttp.ClientSession() as session,
    ):
        yield Caller(session, url, key)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PAIRS)
async def admin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Caller]:
    """Yield an administrator of a service on each pair, in processes of its own."""
    folder = tmp_path_factory.mktemp("pair")
    async with _serving(request, folder, _ENABLED) as caller:
        yield caller


@pytest.mark.parametrize("name", _RECORDINGS)
async def test_a_recording_is_answered_alike(admin: Caller, name: str) -> None:
    token = (await admin.post("/v1/actors/admin-token")).json["token"]
    base = f"{admin.url}/compat/pipelinejobs"

    await replay(read("pipelinejobs", name), admin, base, admin_token=token)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PAIRS)
async def deferred_events(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Caller]:
    """Yield an administrator of a service that parks events which come too early."""
    folder = tmp_path_factory.mktemp("parking")
    async with _serving(request, folder, _PARKING) as caller:
        yield caller


async def test_a_native_event_wakes_what_is_parked(deferred_events: Caller) -> None:
    messages = "/compat/pipelinejobs/actors/v2/jobs-manager/messages"
    job = await deferred_events.make_job()
    end = {"uuid": job["id"], "name": "finish", "token": job["token"]}
    parked = await deferred_events.post(messages, json=end)

    ran = await deferred_events.report(job, "run")

    async def has_finished() -> bool:
        shown = await deferred_events.get(f"/v1/jobs/{job['id']}")
        return bool(shown.json["state"] == "FINISHED")

    await until(has_finished)
    assert parked.json["result"]["parked"] is True
    assert ran["state"] == "RUNNING"
