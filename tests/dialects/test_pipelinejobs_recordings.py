"""Every example of the PipelineJobs manager's documentation, and every case at its edges."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.runtime.settings import Settings
from tests.dialects.replay import read, recordings, replay
from tests.support.service import running


@pytest.mark.parametrize("name", recordings("pipelinejobs"))
async def test_a_recording_is_answered_as_it_says(name: str, tmp_path: Path) -> None:
    recording = read("pipelinejobs", name)
    mounting = msgspec.convert({**recording.settings, "enabled": True}, PipelineJobs)
    settings = Settings(port=0, dialects={"pipelinejobs": mounting})

    async with running(tmp_path, settings) as service:
        base = service.system.dialect_urls["pipelinejobs"][0]
        token = (await service.admin.post("/v1/actors/admin-token")).json["token"]

        await replay(recording, service.admin, base, admin_token=token)
