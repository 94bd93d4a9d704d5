"""What was wrong with the original, J1 to J20: one test and more for each, so that none returns."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from jobwire.actors.dialects.joblauncher.credentials import ReceiverKeys
from jobwire.actors.dialects.joblauncher.settings import MacCredential
from jobwire.actors.runtime.settings import CallbackSettings, Limits, LocalSite
from jobwire.actors.state_manager.job_retention import JobRetention
from jobwire.schemas.errors import Misconfigured
from tests.support.deadlines import PATIENCE_S, until
from tests.support.launching import STEP_S, SandboxView, launching
from tests.support.mac_receiver import MacReceiver
from tests.support.receiver import Receiver, endless, hang, receiving
from tests.support.stopwatch import Stopwatch


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[SandboxView]:
    """Yield a service with the dialect alone at a port."""
    async with launching(tmp_path) as box:
        yield box


def _states(receiver: Receiver) -> list[str]:
    return [json.loads(each.body)["state"] for each in receiver.received]


async def test_j1_a_job_removed_meanwhile_stops_no_other(box: SandboxView) -> None:
    first = await box.script("sleep 600")
    second = await box.script(f"until [ -e {box.jobdir}/go ]; do sleep 0.02; done")
    await box.reach(first, "RUNNING")

    await box.caller.delete(first)
    await box.service.admin.delete(f"/v1/jobs/{first.rpartition('/')[2]}")
    (box.jobdir / "go").touch()

    assert (await box.reach(second))["state"] == "DONE"


async def test_j2_jobs_outlive_a_restart_and_are_found_under_their_urls(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with launching(tmp_path, leaves_jobs=True) as box:
            url = await box.script(
                f"until [ -e {box.jobdir}/go ]; do sleep 0.02; done; echo x > o",
                poststaged=["o"],
                status_callback_url=receiver.url,
            )
            await box.reach(url, "RUNNING")
            await receiver.wait(2)
        async with launching(tmp_path) as box:
            again = f"{box.base}/job/{url.rpartition('/')[2]}"
            (box.jobdir / "go").touch()
            status = await box.reach(again)
            await receiver.wait(3)
            assert await box.listed() == [again]

    assert (status["state"], status["exitCode"]) == ("DONE", 0)
    assert (tmp_path / "jobs/o").read_text() == "x\n"
    assert _states(receiver) == ["PENDING", "RUNNING", "DONE"]


async def test_j3_a_receiver_that_hangs_delays_nobody_and_is_told_later(tmp_path: Path) -> None:
    callbacks = CallbackSettings(schedule_s=(0, 0.1, 0.1), timeout_s=0.3)
    async with (
        receiving() as slow,
        receiving() as quick,
        launching(tmp_path, callbacks=callbacks) as box,
    ):
        slow.answers = [hang]
        first = await box.submit(status_callback_url=slow.url)
        second = await box.submit(status_callback_url=quick.url)
        await box.reach(first)
        await box.reach(second)
        await quick.wait(3)
        await slow.wait(4)

    assert _states(quick) == ["PENDING", "RUNNING", "DONE"]
    assert _states(slow) == ["PENDING", "PENDING", "RUNNING", "DONE"]
    assert slow.ids[0] == slow.ids[1]


async def test_j4_answers_of_receivers_are_read_and_closed(box: SandboxView) -> None:
    async with receiving() as receiver:
        receiver.always = endless()
        for _ in range(4):
            await box.submit(status_callback_url=receiver.url)
        await receiver.wait(12, 60.0)
        await until(lambda: receiver.in_hand == 0, STEP_S)

    assert sorted(_states(receiver)) == ["DONE"] * 4 + ["PENDING"] * 4 + ["RUNNING"] * 4


async def test_j5_one_missing_output_is_told_and_the_others_are_copied(box: SandboxView) -> None:
    async with receiving() as receiver:
        url = await box.script(
            "echo b > b; exit 4", poststaged=["a", "b"], status_callback_url=receiver.url
        )
        status = await box.reach(url)
        told = (await receiver.wait(3))[-1]

    assert (status["state"], status["exitCode"]) == ("DONE", 4)
    assert "'a'" in status["exception"]
    assert (box.jobdir / "b").read_text() == "b\n"
    assert json.loads(told.body) == status
    # Its directory is kept for a while, and that of one whose outputs are back goes.
    kept = url.rpartition("/")[2]
    await box.reach(await box.script("exit 4"))
    await until(lambda: box.sandboxes == [kept], STEP_S)


async def test_j5_one_odd_file_keeps_no_other_of_its_directory_back(box: SandboxView) -> None:
    url = await box.script(
        "mkdir d d/e; ln -s /etc/passwd d/link; mkfifo d/e/fifo; echo x > d/e/x", poststaged=["d"]
    )
    status = await box.reach(url)

    assert all(name in status["exception"] for name in ("'d/link'", "'d/e/fifo'"))
    found = [str(each.relative_to(box.jobdir)) for each in box.jobdir.rglob("*") if each.is_file()]
    assert sorted(found) == ["d/e/x", "stderr.txt", "stdout.txt"]


async def test_j6_ended_jobs_are_forgotten_in_real_time(box: SandboxView) -> None:
    ended, running_ = await box.submit(), await box.script("sleep 600")
    await box.reach(ended)
    await until(lambda: len(box.sandboxes) == 1, STEP_S)

    def half_a_day_later() -> datetime:
        return datetime.now(UTC) + timedelta(hours=12, seconds=5)

    retention = JobRetention(box.service.system._container.store, 43_200, half_a_day_later)
    await retention.start()
    await until(lambda: _is_gone(box, ended), STEP_S)
    await retention.stop()

    assert await box.listed() == [running_]


async def _is_gone(box: SandboxView, url: str) -> bool:
    return (await box.caller.get(url)).status == 404


async def test_j7_running_and_waiting_have_limits_of_their_own(tmp_path: Path) -> None:
    limits = {"max_run_s": 0.4, "max_wait_s": 1.2}
    local = LocalSite(slots=1)
    async with receiving() as receiver, launching(tmp_path, dialect=limits, local=local) as box:
        long = await box.script("echo begun; sleep 600", status_callback_url=receiver.url)
        killed = await box.reach(long)
        refused = await box.post(max_time=1)
        told = (await receiver.wait(3))[-1]

    assert (killed["state"], killed["exception"]) == ("KILLED", "Process timed out.")
    assert (killed["exitCode"], killed["done"]) == (None, True)
    # What it has printed until then is not thrown away.
    assert (tmp_path / "jobs/stdout.txt").read_text() == "begun\n"
    assert json.loads(told.body) == killed
    assert refused.status == 422
    assert refused.json["pointer"] == "/max_time"


async def test_j7_a_job_that_waits_too_long_is_killed_and_never_runs(tmp_path: Path) -> None:
    async with launching(tmp_path, dialect={"max_wait_s": 0.5}, local=LocalSite(slots=1)) as box:
        first = await box.script(f"until [ -e {box.jobdir}/go ]; do sleep 0.02; done")
        await box.reach(first, "RUNNING")
        waiting = await box.script(f"touch {box.jobdir}/ran")
        pending = await box.status(waiting)
        status = await box.reach(waiting)
        (box.jobdir / "go").touch()
        await box.reach(first)

    assert pending["state"] == "PENDING"
    assert (status["state"], status["exception"]) == ("KILLED", "Process timed out.")
    assert not (tmp_path / "jobs/ran").exists()


async def test_j8_without_an_owner_every_request_needs_a_key(tmp_path: Path) -> None:
    async with launching(tmp_path, dialect={"owner": None}) as box:
        bare = await box.post()
        wrong = await box.caller.get(f"{box.base}/job", headers={"Authorization": "Basic eDp5"})
        odd = await box.caller.get(f"{box.base}/job", headers={"Authorization": "Basic ?"})
        foreign = await box.caller.get(f"{box.base}/job", headers={"Authorization": "Basic é"})
        key = box.service.admin.key or ""
        pair = base64.b64encode(f"anybody:{key}".encode()).decode()
        basic = await box.caller.get(f"{box.base}/job", headers={"Authorization": f"Basic {pair}"})
        bearer = await box.service.admin.get(f"{box.base}/job")
        threads = await box.caller.get(f"{box.base}/threads")

    assert [each.status for each in (bare, wrong, odd, foreign, threads)] == [401] * 5
    assert 'Basic realm="jobwire"' in bare.headers["WWW-Authenticate"]
    assert (basic.status, basic.json, bearer.status) == (200, [], 200)


async def test_j8_an_open_door_is_for_this_machine_alone(tmp_path: Path, box: SandboxView) -> None:
    url = f"{box.base}/job"
    rebound = await box.caller.get(url, headers={"Host": "evil.example.org"})
    page = await box.caller.get(url, headers={"Origin": "https://evil.example.org"})
    own = await box.caller.get(url, headers={"Origin": "http://localhost:3000"})
    async with launching(tmp_path / "public", public_url="https://jobs.example.org") as public:
        behind_proxy = await public.caller.get(f"{public.base}/job")

    assert [rebound.status, page.status, own.status, behind_proxy.status] == [403, 403, 200, 401]


async def test_j8_jobs_of_another_owner_are_not_there(box: SandboxView) -> None:
    url = await box.submit()
    await box.reach(url)

    assert (await box.service.admin.get(url)).status == 404
    assert (await box.service.admin.delete(url)).status == 404
    assert (await box.service.admin.get(f"{box.base}/job")).json == []


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside"])
async def test_j8_links_lead_nowhere_in_and_out(
    box: SandboxView, tmp_path: Path, target: str
) -> None:
    (tmp_path / "outside").write_text("secret")
    (box.jobdir / "link").symlink_to(target)
    (box.jobdir / "out").symlink_to(tmp_path)

    refused = await box.post(prestaged=["link"])
    through = await box.script(
        "echo x > stolen; ln -s /etc/passwd p", poststaged=["out/stolen", "p"]
    )
    status = await box.reach(through)

    assert refused.status == 422
    assert "link" in refused.json["detail"]
    assert status["state"] == "DONE"
    assert "stolen" in status["exception"]
    assert not (tmp_path / "stolen").exists()
    assert not (box.jobdir / "p").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"jobdir": "/etc"},
        {"jobdir": "jobs"},
        {"prestaged": ["../data/api-key"]},
        {"prestaged": ["/etc/passwd"]},
        {"poststaged": ["../o"]},
        {"stdout": "../o"},
        {"stderr": "/o"},
        {"status_callback_url": "http://10.0.0.1/"},
        {"status_callback_url": "file:///etc/passwd"},
    ],
)
async def test_j8_nothing_leads_out_of_the_roots(box: SandboxView, change: dict[str, Any]) -> None:
    answer = await box.post(**change)

    assert answer.status == 422
    assert answer.json["pointer"].startswith(f"/{next(iter(change))}")
    assert await box.listed() == []


async def test_j9_the_query_is_signed_and_times_and_nonces_are_new(tmp_path: Path) -> None:
    async with receiving() as free:
        port = free.port
    mac = MacCredential(
        id="i", key="489dks293j39", scope=f"http://127.0.0.1:{port}", algorithm="hmac-sha-256"
    )
    dialect = {"macs": (mac,), "challenge_only": True}
    checking = MacReceiver("i", "489dks293j39", challenges_first=False, digest="sha256")
    async with checking.listening(port), launching(tmp_path, dialect=dialect) as box:
        await box.submit(status_callback_url=f"http://127.0.0.1:{port}/a?b=1&a=%2F")
        await until(lambda: checking.is_done, STEP_S)

    assert [each["state"] for each in checking.taken] == ["PENDING", "RUNNING", "DONE"]
    # As the original did it: each PUT goes without at first.
    assert (checking.challenged, checking.refused) == (3, [])
    assert len(set(checking.nonces)) == 3


def _keys(*scopes: str) -> ReceiverKeys:
    macs = [MacCredential(id=f"id{n}", key="k", scope=scope) for n, scope in enumerate(scopes)]
    return ReceiverKeys(
        macs, [], challenge_only=False, clock=lambda: datetime.now(UTC), entropy=os.urandom
    )


@pytest.mark.parametrize(
    ("url", "id_"),
    [
        ("http://h:80/a/b", "id1"),
        ("http://h/a", "id1"),
        ("http://h/ab", "id0"),
        ("http://h/", "id0"),
        ("https://h:80/a", "id1"),
        ("http://h:8080/a", None),
        ("http://other/a", None),
    ],
)
def test_j9_a_credential_goes_no_further_than_its_scope(url: str, id_: str | None) -> None:
    said = _keys("http://h", "http://H/a/").authorization("PUT", URL(url), ())

    assert (said.split('"')[1] if said else None) == id_


def test_j9_only_a_challenge_for_mac_is_answered_with_it() -> None:
    keys, url = _keys("http://h"), URL("http://h/")

    assert keys.authorization("PUT", url, ['Basic realm="x", MAC realm="y"'])
    assert keys.authorization("PUT", url, ["mac"])
    assert keys.authorization("PUT", url, ['Basic realm="MAC"']) is None
    assert keys.authorization("PUT", url, ["Digest"]) is None


@pytest.mark.parametrize("scope", ["h:80", "ftp://h/", "http://", ""])
def test_j9_a_scope_that_is_no_url_is_named_at_the_start(scope: str) -> None:
    with pytest.raises(Misconfigured, match="scope"):
        _keys(scope)


async def test_j10_ids_are_opaque_and_never_come_again(tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        async with launching(tmp_path) as box:
            ids |= {(await box.submit()).rpartition("/")[2] for _ in range(2)}

    assert len(ids) == 4
    assert all(len(each) == 36 and each.replace("-", "").isalnum() for each in ids)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[[]]", b'{"jobdir": {}}', b"\xff", b"\xef\xbb\xbf{}", b'{"a": 1e999}',
        b'{"jobdir": "/\\u0000", "executable": "x"}', b'{"jobdir": "/\\ud800", "executable": "x"}',
        b'{"jobdir": "/d", "executable": "\\u0000"}', b"[" * 100_000, b"/*", b'{"max_time": 1.5}',
        b'{"jobdir": "/d", "executable": "x", "max_time": 99999999999999999999}',
        b'{"jobdir": "/d", "executable": "x", "environment": {"": "x"}}',
        b'{"jobdir": "/d", "executable": "x", "environment": {"a=b": "x"}}',
        b'{"jobdir": "/d", "executable": "x", "launcher": ""}',
        b'{"jobdir": "/' + b"x" * 5_000 + b'", "executable": "x"}',
        b'{"jobdir": "/d", "executable": "x", "stdout": ""}',
        b'{"jobdir": "/d", "executable": "x", "status_callback_url": "http://[::1"}',
        b'{"jobdir": "/d", "executable": "x", "prestaged": ["' + b"x" * 300 + b'"]}',
    ],
)  # fmt: skip
async def test_j11_a_client_s_mistake_is_its_own_and_said_in_json(
    box: SandboxView, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}

    answer = await box.caller.post(f"{box.base}/job", body=body, headers=headers)

    assert answer.status in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["detail"]
    assert await box.listed() == []


async def test_j11_what_is_too_large_is_said_to_be(tmp_path: Path) -> None:
    async with launching(tmp_path, limits=Limits(body_bytes=200_000)) as box:
        many = await box.post(arguments=["x" * 50_000] * 2)
        more = await box.post(arguments=["x" * 50_000] * 5)

    assert [many.status, more.status] == [413, 413]


async def test_j12_a_submission_that_fails_leaves_nothing(box: SandboxView) -> None:
    (box.jobdir / "there").write_text("x")
    async with receiving() as receiver:
        for _ in range(3):
            refused = await box.post(
                prestaged=["there", "not-there"], status_callback_url=receiver.url
            )
            assert refused.status == 422
        url = await box.submit(status_callback_url=receiver.url)
        await box.reach(url)
        await receiver.wait(3)
        await until(lambda: box.sandboxes == [], STEP_S)

    assert await box.listed() == [url]
    # Nobody was told of what never was a job.
    assert _states(receiver) == ["PENDING", "RUNNING", "DONE"]


async def test_j12_a_cancel_leaves_no_sandbox(box: SandboxView) -> None:
    url = await box.script("echo x > o; sleep 600", poststaged=["o"])
    await box.reach(url, "RUNNING")

    answer = await box.caller.delete(url)

    await until(lambda: box.sandboxes == [], STEP_S)
    assert answer.status == 204
    assert sorted(each.name for each in box.jobdir.iterdir()) == []


async def test_j12_a_job_that_is_cancelled_while_its_inputs_come_in_never_runs(
    box: SandboxView,
) -> None:
    (box.jobdir / "in").write_text("x")
    (stager,) = [each for each in box.service.system._actors if each.name == "stager"]
    await stager.stop()
    text = f"touch {box.jobdir}/ran"
    asked = asyncio.create_task(box.post(executable="sh", arguments=["-c", text], prestaged=["in"]))

    async def is_listed() -> bool:
        return bool(await box.listed())

    await until(is_listed, STEP_S)
    (url,) = await box.listed()
    begun = await box.status(url)
    answer = await box.caller.delete(url)
    made = await asked
    killed = await box.status(url)
    await stager.start()
    await until(lambda: box.sandboxes == [], STEP_S)

    assert (begun["state"], answer.status, made.status) == ("INITIAL", 204, 201)
    assert made.headers["Location"] == url
    assert (killed["state"], killed["exception"]) == ("KILLED", "Process cancelled by user.")
    assert not (box.jobdir / "ran").exists()


async def test_j13_a_receiver_that_is_down_makes_no_cancel_fail_or_wait(box: SandboxView) -> None:
    async with receiving() as gone:
        url = gone.url
    job = await box.script("sleep 600", status_callback_url=url)
    await box.reach(job, "RUNNING")

    async with asyncio.timeout(PATIENCE_S):
        answer = await box.caller.delete(job)

    assert (answer.status, (await box.status(job))["state"]) == (204, "KILLED")


async def test_j14_an_end_is_told_when_it_happens(box: SandboxView) -> None:
    async with receiving() as receiver:
        watch = Stopwatch()
        url = await box.submit(status_callback_url=receiver.url)
        await receiver.wait(3)
        status = await box.status(url)
        took_s = watch.seconds

    assert status["state"] == "DONE"
    assert took_s < 5


async def test_j15_children_of_the_process_are_ended_too(box: SandboxView) -> None:
    url = await box.script(
        f"(sleep 600 & echo $! > {box.jobdir}/pid); setsid sleep 600 & sleep 600"
    )
    await until((box.jobdir / "pid").exists)
    await box.reach(url, "RUNNING")
    pid = int((box.jobdir / "pid").read_text())

    await box.caller.delete(url)

    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b") ")[2][:1] not in (b"Z", b"X")


async def test_j16_directories_of_outputs_are_made(box: SandboxView) -> None:
    url = await box.script("echo x > o", poststaged=["a/b/c/o"])

    assert (await box.reach(url))["exception"] is None
    assert (box.jobdir / "a/b/c/o").read_text() == "x\n"


async def test_j17_the_health_check_sees_what_is_missing(tmp_path: Path) -> None:
    async with launching(tmp_path) as box:
        healthy = await box.caller.get(f"{box.base}/healthcheck")
        (notifier,) = [e for e in box.service.system._actors if e.name == "notifier"]
        await notifier.stop()
        ill = await box.caller.get(f"{box.base}/admin/healthcheck")
        await notifier.start()

    assert (healthy.status, healthy.body) == (200, b"* jobwire: OK\n")
    assert (ill.status, ill.body) == (500, b"! notifier: ERROR\n!  notifier\n")


async def test_j18_two_inputs_of_one_name_keep_their_paths_where_that_is_set(
    tmp_path: Path,
) -> None:
    async with launching(tmp_path, dialect={"keep_paths": True, "correct_spelling": True}) as box:
        for name in ("1", "2"):
            (box.jobdir / name).mkdir()
            (box.jobdir / name / "x").write_text(name)
        url = await box.script("cat 1/x 2/x > 1/y", prestaged=["1/x", "2/x"], poststaged=["1/y"])
        status = await box.reach(url)

    assert status["exception"] is None
    assert status["schedulerSpecificInformation"] is None
    assert (tmp_path / "jobs/1/y").read_text() == "12"


async def test_j19_a_waiting_job_is_cancelled_and_each_url_leads_to_its_job(
    tmp_path: Path,
) -> None:
    async with launching(tmp_path, local=LocalSite(slots=1)) as box:
        assert await box.listed() == []
        first = await box.script("sleep 600")
        await box.reach(first, "RUNNING")
        waiting = await box.script(f"touch {box.jobdir}/ran")
        pending = await box.status(waiting)
        answer = await box.caller.delete(waiting)
        killed = await box.status(waiting)
        listed = await box.listed()
        shown = [(await box.caller.get(each)).json["request"]["arguments"][1] for each in listed]
        await box.caller.delete(first)
        await until(lambda: box.sandboxes == [], STEP_S)

    assert pending == {**pending, "state": "PENDING", "running": False, "done": False}
    assert (answer.status, killed["state"]) == (204, "KILLED")
    assert listed == [waiting, first]
    assert [text.split()[0] for text in shown] == ["touch", "sleep"]
    assert not (tmp_path / "jobs/ran").exists()


async def test_j20_callbacks_say_of_which_job_and_in_which_order(box: SandboxView) -> None:
    async with receiving() as receiver:
        receiver.answers = [503]
        url = await box.submit(status_callback_url=receiver.url)
        await receiver.wait(4, 15.0)

    told = receiver.received
    assert {each.headers["jobwire-job"] for each in told} == {url.rpartition("/")[2]}
    sequence = [int(each.headers["jobwire-sequence"]) for each in told]
    assert sequence == sorted(sequence)
    assert len(set(sequence)) == 3
    assert told[0].id == told[1].id
    times = [datetime.fromisoformat(each.headers["jobwire-timestamp"]) for each in told]
    assert times == sorted(times)
    assert set(json.loads(told[0].body)) == {
        "state", "exitCode", "exception", "running", "done", "schedulerSpecficInformation",
    }  # fmt: skip


async def test_a_login_in_an_address_is_sent_at_once_and_shown_nowhere(
    box: SandboxView, capsys: pytest.CaptureFixture[str]
) -> None:
    async with receiving() as receiver:
        receiver.answers = [503]
        address = receiver.url.replace("//", "//ann:s%65cr3t-pw@")
        url = await box.submit(status_callback_url=address)
        await receiver.wait(4, 15.0)
        refused = await box.post(status_callback_url="http://ann:s3cr3t-pw@10.0.0.1/")
        document = await box.caller.get(url)
        # Whoever has a key of the owner sees the same jobs everywhere else.
        key = await box.service.principal("launcher")
        job = url.rpartition("/")[2]
        again = await key.post(f"/v1/jobs/{job}/retry", json={})
        await receiver.wait(7, 15.0)
        views = [
            await key.get(path)
            for path in (
                "/v1/jobs",
                f"/v1/jobs/{job}",
                f"/v1/jobs/{job}/history",
                "/v1/deliveries",
                f"/v1/jobs/{again.json['id']}",
            )
        ]
        metrics = await box.caller.get(f"{box.base}/metrics")

    pair = base64.b64encode(b"ann:secr3t-pw").decode()
    assert {each.headers["authorization"] for each in receiver.received} == {f"Basic {pair}"}
    assert document.json["request"]["status_callback_url"] == receiver.url
    assert (refused.status, refused.json["code"]) == (422, "forbidden_address")
    assert [each.status for each in views] == [200] * 5
    printed = capsys.readouterr()
    said = b"".join(each.body for each in (document, refused, again, metrics, *views)).decode()
    for secret in ("s%65cr3t-pw", "secr3t-pw", "s3cr3t-pw", pair):
        assert secret not in said + printed.out + printed.err


async def test_links_are_what_the_client_used_or_the_public_url(box: SandboxView) -> None:
    below = box.service.url + "/compat/joblauncher"
    asked = {"jobdir": str(box.jobdir), "executable": "/bin/true"}

    made = await box.caller.post(f"{below}/job", json=asked)
    named = await box.caller.post(f"{box.base}/job", json=asked, headers={"Host": "localhost:1234"})

    assert made.headers["Location"].startswith(f"{below}/job/")
    assert named.headers["Location"].startswith("http://localhost:1234/job/")
    assert (await box.caller.get(made.headers["Location"])).status == 200


async def test_jobs_of_other_doors_are_not_there(box: SandboxView) -> None:
    native = await box.service.admin.make_job(
        tags=["joblauncher"], data={"jobdir": "/x", "executable": "y"}
    )

    answer = await box.service.admin.get(f"{box.base}/job/{native['id']}")

    assert answer.status == 404
    assert (await box.service.admin.get(f"{box.base}/job")).json == []
