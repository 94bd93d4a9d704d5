"""
The original's own curl lines, run by curl as they stand.

Only the host, the ids and the secrets differ: `curl --data` declares a form, and that must not
matter.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.runtime.settings import Settings
from tests.dialects.replay import RECORDINGS
from tests.support.service import Caller, running

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")

#: One command a line; `$NAMES` stand for what each site has of its own.
_LINES = (RECORDINGS / "pipelinejobs" / "curl.txt").read_text().splitlines()
_PIPELINE = "106c46ff-9186-5756-a934-8f9a8f1a7a6e"


class Site(NamedTuple):
    """A dialect at its own port, as clients that cannot take a path prefix reach it."""

    base: str
    admin: Caller
    nonce: str
    job: dict[str, str]

    async def curl(self, line: str) -> tuple[int, Any]:
        """Run a line; return the status and the JSON of the answer."""
        names = {"BASE": self.base, "NONCE": self.nonce, "KEY": self.admin.key or "", **self.job}
        for name, value in names.items():
            line = line.replace(f"${name}", value)
        process = await asyncio.create_subprocess_exec(
            *shlex.split(line), "-sS", "-w", "\n%{http_code}", stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0
        body, _, status = printed.decode().rpartition("\n")
        return int(status), json.loads(body)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    mounting = PipelineJobs(enabled=True, listen="127.0.0.1:0")
    settings = Settings(port=0, dialects={"pipelinejobs": mounting})
    async with running(tmp_path, settings) as service:
        base = service.system.dialect_urls["pipelinejobs"][1]
        actor = f"{base}/actors/v2/jobs-manager"
        work = {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {}}
        made = (await service.admin.post(f"{actor}/messages", json=work)).json["result"]
        nonce = (await service.admin.post(f"{actor}/nonces")).json["result"]["id"]
        job = {"UUID": made["uuid"], "TOKEN": made["token"], "WEBHOOK": made["webhook"]}
        yield Site(base, service.admin, nonce, job)


@pytest.mark.parametrize("line", _LINES)
async def test_a_line_of_the_documentation_works_as_it_stands(site: Site, line: str) -> None:
    status, answer = await site.curl(line)

    job = await site.curl(
        "curl -H 'Authorization: Bearer $KEY' $BASE/actors/v2/jobs-manager/jobs/$UUID"
    )
    assert (status, answer["status"]) == (200, "success")
    assert job[1]["result"]["state"] == "RUNNING"


async def test_a_job_is_deleted_as_the_documentation_says(site: Site) -> None:
    status, _ = await site.curl(
        """curl -XPOST --data '{"uuid": "$UUID", "action": "delete", "token": "$TOKEN"}' """
        """'$BASE/actors/v2/jobs-manager/messages?x-nonce=$NONCE'"""
    )

    gone, _ = await site.curl(
        "curl -H 'Authorization: Bearer $KEY' $BASE/actors/v2/jobs-manager/jobs/$UUID"
    )
    assert (status, gone) == (200, 404)


async def test_a_nonce_is_made_listed_and_deleted_with_curl(site: Site) -> None:
    head = "-H 'Authorization: Bearer $KEY' $BASE/actors/v2/jobs-manager/nonces"

    made, answer = await site.curl(f"curl -X POST -d maxUses=1 {head}")
    assert (made, answer["status"]) == (400, "error")
    made, answer = await site.curl(f"""curl -X POST -d '{{"maxUses": 1}}' {head}""")
    identifier = answer["result"]["id"]
    listed = (await site.curl(f"curl {head}"))[1]["result"]
    deleted, answer = await site.curl(f"curl -X DELETE {head}/{identifier}")

    assert (made, deleted, answer["result"]) == (200, 200, None)
    assert identifier.startswith(tuple(each["id"] for each in listed if each["maxUses"] == 1))
