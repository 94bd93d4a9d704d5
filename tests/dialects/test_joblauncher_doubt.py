"""What a submission leaves when it cannot be carried through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from jobwire.actors.operations.withdrawals import Withdrawals
from jobwire.schemas.errors import InDoubt
from jobwire.schemas.identifiers import parse_job_id, random_job_id
from jobwire.schemas.principals import Principal
from tests.support.deadlines import until
from tests.support.launching import STEP_S, SandboxView, launching
from tests.support.receiver import receiving

_MAKER: Final = Principal("launcher", frozenset({"read", "jobs", "events"}))
_NOBODY_S: Final = random_job_id(bytes(16))


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[SandboxView]:
    """Yield a service with the dialect alone at a port."""
    async with launching(tmp_path) as box:
        yield box


def _withdrawals(box: SandboxView) -> Withdrawals:
    return box.service.system._container.operations.withdrawals


async def test_a_cancel_that_cannot_be_made_safe_says_which_job_may_run(tmp_path: Path) -> None:
    async with launching(tmp_path) as box:
        await box.service.system._container.transport.close()

        with pytest.raises(InDoubt, match="will run") as caught:
            await _withdrawals(box).withdraw(_MAKER, _NOBODY_S, 0.2)

    assert (caught.value.code, caught.value.status) == ("in_doubt", 503)
    assert _NOBODY_S in caught.value.detail


async def test_a_job_that_was_never_made_is_taken_back_in_peace(box: SandboxView) -> None:
    await _withdrawals(box).withdraw(_MAKER, _NOBODY_S, STEP_S)

    assert await box.listed() == []


async def test_of_a_job_that_has_begun_nobody_says_that_it_does_not_run(box: SandboxView) -> None:
    url = await box.script("sleep 600")
    await box.reach(url, "RUNNING")

    with pytest.raises(InDoubt, match="may have begun"):
        await _withdrawals(box).withdraw(_MAKER, parse_job_id(url.rpartition("/")[2]), STEP_S)

    assert (await box.reach(url))["state"] == "KILLED"


async def test_a_job_that_is_taken_back_before_it_begins_never_runs_and_is_told_to_nobody(
    box: SandboxView,
) -> None:
    (stager,) = [each for each in box.service.system._actors if each.name == "stager"]
    await stager.stop()

    async def is_listed() -> bool:
        return bool(await box.listed())

    async with receiving() as receiver:
        text = f"touch {box.jobdir}/ran"
        asked = asyncio.create_task(
            box.post(executable="sh", arguments=["-c", text], status_callback_url=receiver.url)
        )
        await until(is_listed, STEP_S)
        (url,) = await box.listed()
        await _withdrawals(box).withdraw(_MAKER, parse_job_id(url.rpartition("/")[2]), STEP_S)
        await asked
        await stager.start()
        told = await box.submit(status_callback_url=receiver.url)
        await receiver.wait(3, STEP_S)
        await box.reach(told)

    assert (await box.status(url))["state"] == "KILLED"
    assert not (box.jobdir / "ran").exists()
    assert {each.headers["jobwire-job"] for each in receiver.received} == {told.rpartition("/")[2]}
