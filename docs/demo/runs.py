"""Jobs that Jobwire runs itself: files in and out, callbacks, causes, cancel, and a crash."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from api import Api
from receiver import Receiver
from screen import Screen
from service import Service

_TEXT = Path(__file__).parent.parent.parent / "LICENSE"
_COUNT = """
tr -cs '[:alpha:]' '\\n' < text | tr '[:upper:]' '[:lower:]' | grep . | sort | uniq -c | sort -rn \
  | awk '{ print $2, $1 }' > counts
echo "most frequent:" $(head -1 counts)
"""
#: Ignores SIGTERM, and has a child that does too.
_STUBBORN = "trap '' TERM; sleep 300 & sleep 300"
_ENDED_S = 30.0


class Runs:
    """The steps about jobs that run here."""

    def __init__(self, screen: Screen, service: Service, names: dict[str, str]) -> None:
        """Show on a screen; `names` are of the jobs that the stream shows."""
        self._screen = screen
        self._service = service
        self._names = names

    def run(self, api: Api, folder: Path) -> None:
        """Run all steps with files in a folder that the service may use."""
        self._api = api
        self._word_count(folder)
        self._failure()
        self._cancel()
        self._crash()

    def _word_count(self, folder: Path) -> None:
        self._screen.step("Jobwire runs a word count itself: text in, counts out, signed callbacks")
        folder.mkdir()
        (folder / "license.txt").write_bytes(_TEXT.read_bytes())
        receiver = Receiver(self._hear)
        job = self._job(
            "wordcount",
            ["sh", "-c", _COUNT],
            directory=f"file://{folder}",
            stage_in=[{"from": "license.txt", "to": "text"}],
            stage_out=[{"from": "counts", "to": "results/counts.txt"}],
            callbacks=[{"url": f"{receiver.url}/jobs", "secret": _secret(receiver, "/jobs")}],
        )
        ended = self._ended(job)
        counted = (folder / "results" / "counts.txt").read_text().splitlines()
        words = Counter(re.findall(r"[a-z]+", _TEXT.read_text().lower()))
        check = self._screen.check
        check("it ended with exit code 0", (ended["state"], ended["exit_code"]), ("FINISHED", 0))
        check(
            f"its output is in its place, and right: {len(words)} different words",
            dict(line.split() for line in counted),
            {word: str(count) for word, count in words.items()},
        )
        stdout = self._api.get(f"/v1/jobs/{job}/files/stdout").body.decode()
        word, times = words.most_common(1)[0]
        check("its standard output can be read", stdout, f"most frequent: {word} {times}\n")
        self._callbacks(job, receiver)

    def _callbacks(self, job: str, receiver: Receiver) -> None:
        entries = self._api.history(job)
        changed = [
            entry["seq"]
            for before, entry in zip([{"state": None}, *entries], entries, strict=False)
            if entry["state"] != before["state"]
        ]
        came = receiver.wait_for(len(changed), 30)
        self._screen.check(
            f"{came} callbacks came, one for each change of state, and every signature is good",
            (sorted(each["data"]["seq"] for each in receiver.messages), receiver.forged),
            (changed, 0),
        )
        self._screen.check("a forged message is refused", _forge(receiver.url), 400)
        receiver.shutdown()
        receiver.server_close()

    def _hear(self, message: Any) -> None:
        data = message["data"]
        self._screen.say(f"→ callback, signature verified: {data['event']}, {data['state']}")

    def _failure(self) -> None:
        self._screen.step("A job fails: what went wrong, and where to look")
        job = self._job("failing", ["sh", "-c", "echo 'no such sample: S-17' >&2; exit 3"])
        ended = self._ended(job)
        self._screen.check(
            f"the cause is told: {ended['detail']}",
            (ended["state"], ended["cause"], ended["exit_code"]),
            ("FAILED", "exit_code", 3),
        )
        self._screen.check(
            "what it said is kept",
            self._api.get(f"/v1/jobs/{job}/files/stderr").body,
            b"no such sample: S-17\n",
        )
        killed = self._ended(self._job("signalled", ["sh", "-c", "kill -SEGV $$"]))
        missing = self._ended(self._job("missing", ["no-such-program"]))
        self._screen.check(
            "a signal and a missing program are told apart from it",
            (killed["cause"], killed["signal"], missing["cause"]),
            ("signal", "SIGSEGV", "could_not_start"),
        )

    def _cancel(self) -> None:
        self._screen.step("A long job that ignores SIGTERM is cancelled")
        job = self._job("stubborn", ["sh", "-c", _STUBBORN])
        self._until(job, "RUNNING")
        began = len(_processes(job))
        self._screen.claim("it runs with its children", holds=began > 1, seen=f"{began} processes")
        self._api.post(f"/v1/jobs/{job}/cancel")
        ended = self._ended(job)
        self._screen.check("it is CANCELLED", ended["state"], "CANCELLED")
        self._screen.check("not one of its processes is left", _processes(job), [])

    def _crash(self) -> None:
        self._screen.step("The service is killed with -9 while jobs run, and started again")
        endings = {"short": (0.3, 0), "failing": (0.6, 7), "longer": (2.5, 0)}
        jobs = {
            name: self._job(name, ["sh", "-c", f"sleep {seconds}; echo {name} done; exit {code}"])
            for name, (seconds, code) in endings.items()
        }
        for job in jobs.values():
            self._until(job, "RUNNING")
        self._service.kill()
        time.sleep(1.0)
        alive = [name for name, job in jobs.items() if _processes(job)]
        self._screen.check("one job runs on without the service, two have ended", alive, ["longer"])
        seconds = self._service.start()
        self._screen.say(f"ready again after {seconds:.1f} s")
        ended = {name: self._ended(job) for name, job in jobs.items()}
        self._screen.check(
            "their true exit codes arrive",
            {name: job["exit_code"] for name, job in ended.items()},
            {name: code for name, (_, code) in endings.items()},
        )
        self._screen.check(
            "their outputs too",
            [self._api.get(f"/v1/jobs/{job}/files/stdout").body for job in jobs.values()],
            [f"{name} done\n".encode() for name in jobs],
        )

    def _job(self, name: str, argv: list[str], **wanted: Any) -> str:
        callbacks = wanted.pop("callbacks", [])
        spec = {"argv": argv, **wanted}
        made = self._api.make_job(
            {"name": name, "tags": ["demo"], "spec": spec, "callbacks": callbacks}
        )
        self._names[made["id"]] = name
        return str(made["id"])

    def _ended(self, job: str) -> Any:
        until = time.monotonic() + _ENDED_S
        while (seen := self._api.get(f"/v1/jobs/{job}").json)["outcome"] is None:
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        return seen

    def _until(self, job: str, state: str) -> None:
        until = time.monotonic() + _ENDED_S
        while self._api.get(f"/v1/jobs/{job}").json["state"] != state:
            if time.monotonic() > until:
                return
            time.sleep(0.02)


def _secret(receiver: Receiver, path: str) -> str:
    """Choose the secret that a callback is signed with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    receiver.secrets[path] = secret
    return secret


def _forge(url: str) -> int:
    """Send what an attacker would; give the answer's status."""
    headers = {
        "webhook-id": "msg_forged",
        "webhook-timestamp": str(int(time.time())),
        "webhook-signature": "v1,Zm9yZ2VkIGZvcmdlZCBmb3JnZWQgZm9yZ2VkIGZvcmc=",
    }
    request = urllib.request.Request(f"{url}/jobs", b'{"type":"job.finish"}', headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def _processes(job: str) -> list[int]:
    """Find the processes of a job by what every job has in its environment."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"JOBWIRE_JOB={job}".encode() in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
        except OSError:
            continue
    return found
