"""What earlier releases left behind is read without a step, and the service goes on with it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import bson
import pytest
from pymongo import IndexModel, MongoClient

from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.runtime.settings import Database, Settings
from tests.recordings.record import ACTOR
from tests.support.deadlines import until
from tests.support.service import Service, running

_RECORDINGS: Final = sorted(Path(__file__).parent.glob("release-*"))
_STORES: Final = ("sqlite", pytest.param("mongodb", marks=pytest.mark.servers))
_BASE: Final = re.compile(r"http://127\.0\.0\.1:\d+")


class Recording:
    """What was recorded of one release and one store, and a service over a copy of it."""

    def __init__(self, service: Service, recorded: dict[str, Any]) -> None:
        """Keep both."""
        self.service = service
        self.jobs: dict[str, Any] = recorded["jobs"]
        self.made: dict[str, str] = recorded["made"]
        self.answers: dict[str, Any] = recorded["answers"]

    async def seq(self, label: str) -> int:
        """Return the seq of a job."""
        shown = await self.service.admin.get(f"/v1/jobs/{self.jobs[label]['id']}")
        return int(shown.json["seq"])


@pytest.fixture(params=_STORES)
def store_kind(request: pytest.FixtureRequest) -> str:
    """Return the name of each store in turn."""
    return str(request.param)


@pytest.fixture(params=_RECORDINGS, ids=lambda folder: folder.name)
async def old(
    request: pytest.FixtureRequest, store_kind: str, tmp_path: Path
) -> AsyncIterator[Recording]:
    """Yield a recording of each release, with a service of this one over a copy of its data."""
    recorded = request.param / store_kind
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    for file in recorded.iterdir():
        if file.name not in {"expected.json", "database.bson"}:
            shutil.copyfile(file, data / file.name)
            (data / file.name).chmod(0o600)
    url = None
    if store_kind == "mongodb":
        url = request.getfixturevalue("database_url")
        _fill(url, recorded / "database.bson")
    async with _serving(data, url) as service:
        yield Recording(service, json.loads((recorded / "expected.json").read_text()))


@asynccontextmanager
async def _serving(data: Path, url: str | None) -> AsyncIterator[Service]:
    settings = Settings(
        port=0,
        database=Database(url=url),
        dialects={"pipelinejobs": PipelineJobs(enabled=True)},
    )
    async with running(data, settings) as service:
        yield service


def _fill(url: str, dump: Path) -> None:
    """Load a dump into an empty database, with the indexes that the release had made."""
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        database = client.get_default_database()
        for each in bson.decode_all(dump.read_bytes()):
            collection = database[each["collection"]]
            if "document" in each:
                collection.insert_one(each["document"])
            elif each["index"]["name"] != "_id_":
                options = {key: value for key, value in each["index"].items() if key != "v"}
                keys = options.pop("key")
                collection.create_indexes([IndexModel([*keys.items()], **options)])


def _holds(shown: Any, recorded: Any) -> bool:
    """Return whether all that was shown is shown now; there may be more of it."""
    if isinstance(recorded, dict):
        return isinstance(shown, dict) and all(
            name in shown and _holds(shown[name], value) for name, value in recorded.items()
        )
    if isinstance(recorded, list):
        return (
            isinstance(shown, list)
            and len(shown) == len(recorded)
            and all(map(_holds, shown, recorded))
        )
    if isinstance(recorded, str):
        return isinstance(shown, str) and _BASE.sub("", shown) == _BASE.sub("", recorded)
    return bool(shown == recorded)


async def test_every_question_is_answered_as_it_was(old: Recording) -> None:
    differing = {}
    for path, recorded in old.answers.items():
        answer = await old.service.admin.get(path)
        if answer.status != 200 or not _holds(answer.json, recorded):
            differing[path] = (answer.json, recorded)

    assert differing == {}
    assert len(old.answers) > 30


async def test_tokens_are_good_still_and_histories_go_on_where_they_were(old: Recording) -> None:
    before = {label: await old.seq(label) for label in ("created", "running", "rotated")}

    for label, seq in before.items():
        reported = await old.service.nobody.report(old.jobs[label], "update", data={"again": 1})
        assert reported["seq"] == seq + 1, reported

    assert {label: await old.seq(label) - seq for label, seq in before.items()} == dict.fromkeys(
        before, 1
    )


async def test_a_token_that_was_revoked_and_a_job_that_was_deleted_stay_so(old: Recording) -> None:
    rotated = {**old.jobs["rotated"], "token": old.jobs["rotated"]["old_token"]}

    refused = await old.service.nobody.report(rotated, "update")
    gone = await old.service.admin.get(f"/v1/jobs/{old.jobs['deleted']['id']}")
    late = await old.service.nobody.report(old.jobs["deleted"], "update")

    assert refused["code"] == "token_revoked", refused
    assert gone.status == 404
    assert late["code"] == "unknown_job", late


async def test_a_job_that_is_made_again_is_the_same_one(old: Recording) -> None:
    job = old.jobs["running"]

    again = await old.service.admin.post(
        "/v1/jobs", json=job["body"], headers={"Idempotency-Key": "running"}
    )

    assert again.json["id"] == job["id"]
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_owners_see_their_own_jobs_only(old: Recording) -> None:
    other = old.service.caller(old.made["other_key"])

    listed = (await other.get("/v1/jobs")).json["items"]

    assert [each["id"] for each in listed] == [old.jobs["foreign"]["id"]]


async def test_a_nonce_has_the_uses_that_were_left(old: Recording) -> None:
    path = f"{ACTOR}?x-nonce={old.made['nonce']}"

    statuses = [(await old.service.nobody.get(path)).status for _ in range(3)]

    assert statuses == [200, 200, 403]


async def test_a_job_that_was_held_runs_once_it_is_released(old: Recording) -> None:
    job = f"/v1/jobs/{old.jobs['held']['id']}"

    released = await old.service.admin.post(f"{job}/release")

    async def has_ended() -> bool:
        return bool((await old.service.admin.get(job)).json["state"] == "FINISHED")

    assert released.status < 300, released.body
    await until(has_ended, 20)


async def test_new_jobs_stand_beside_the_old_ones(old: Recording) -> None:
    before = (await old.service.admin.get("/v1/jobs?limit=100")).json["items"]

    made = await old.service.admin.make_job(tags=["nightly"])
    await old.service.nobody.report(made, "run")
    listed = (await old.service.admin.get("/v1/jobs?limit=100")).json["items"]

    assert [each["id"] for each in listed] == [made["id"], *(each["id"] for each in before)]
