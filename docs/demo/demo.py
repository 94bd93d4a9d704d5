"""
Shows Jobwire at work: platforms report, jobs run, the service is killed, nothing is lost.

Exits 0 only if every check held. Run it with `make demo`.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from api import Api, Follower
from bulk import Collector
from runs import Runs
from screen import Failed, Screen
from service import Service
from terminal import run_on_terminal

_HERE = Path(__file__).parent
_TEXT = _HERE.parent.parent / "LICENSE"
_JOBS = 20
_EVENTS_PER_JOB = 100
#: The service is killed when so many events of the bulk load were accepted.
_KILL_AT = 800


class Demo:
    """The steps, in their order."""

    def __init__(self, screen: Screen, service: Service, folder: Path) -> None:
        """Show on a screen; jobs have their files in a folder."""
        self._screen = screen
        self._service = service
        self._folder = folder
        self._names: dict[str, str] = {}
        self._runs = Runs(screen, service, self._names)
        self._api: Api
        self._follower: Follower

    def run(self) -> None:
        """Run all steps."""
        self._start()
        silent = self._job("silent", heartbeat_s=1)
        self._api.post_webhook(silent["webhook"] + "&name=run", {})
        self._script()
        self._webhook()
        self._stale(silent["id"])
        self._runs.run(self._api, self._folder)
        self._bulk()
        self._stop()

    def _start(self) -> None:
        self._screen.step("Start the service: one process, one data folder")
        seconds = self._service.start()
        self._api = self._service.api()
        self._screen.check(
            f"ready after {seconds:.1f} s (process {self._service.pid}, a free port)",
            self._api.get("/health/ready").json["status"],
            "ready",
        )
        self._follower = Follower(self._api, self._hear)

    def _job(self, name: str, **wanted: object) -> Any:
        made = self._api.make_job({"name": name, "tags": ["demo"], **wanted})
        self._names[made["id"]] = name
        return made

    def _hear(self, entry: Any) -> None:
        name = self._names.get(entry["job"])
        if name is not None:
            self._screen.entry(name, entry)

    def _script(self) -> None:
        self._screen.step("A shell script counts words and reports about itself with curl")
        job = self._job("wordcount")
        ran = subprocess.run(
            [_HERE / "wordcount.sh", _TEXT],
            env={**self._service.environment, "WEBHOOK": job["webhook"]},
            check=False,
        )
        self._screen.check("the script ended with exit code 0", ran.returncode, 0)
        entries = self._api.history(job["id"])
        self._until_heard()
        words = Counter(re.findall(r"[a-z]+", _TEXT.read_text().lower()))
        (word, times), total = words.most_common(1)[0], words.total()
        self._screen.check(
            f"its result is right: {total} words in {_TEXT.name}, {times} times {word!r}",
            entries[-1]["data"],
            {"words": total, "most_frequent": word, "times": times},
        )
        self._screen.check(
            f"all {len(entries)} entries are there in order, from create to finish",
            [entry["name"] for entry in entries],
            ["create", "run", *["update"] * 8, "finish"],
        )

    def _webhook(self) -> None:
        self._screen.step("A platform posts its own job document to a webhook URL")
        job = self._job("agave")
        document = json.loads((_HERE / "agave-job.json").read_text())
        told = [("PENDING", "resource"), ("RUNNING", "run"), ("FINISHED", "finish")]
        # The platform loses an answer and repeats itself, then tells of RUNNING far too late.
        told += [("FINISHED", "finish"), ("RUNNING", "run")]
        for number, (status, name) in enumerate(told):
            event_id = "late" if number == len(told) - 1 else status.lower()
            url = f"{job['webhook']}&name={name}&id={event_id}&source=agave"
            document["status"] = status
            answer = self._api.post_webhook(url, document)
            if answer.status != 202:  # noqa: PLR2004 - accepted
                raise Failed(f"{status} was answered {answer.status}: {answer.body.decode()}")
        entries = self._api.history(job["id"])
        self._until_heard()
        self._screen.check(
            "its whole document is in the history, as it was sent",
            entries[2]["data"],
            {**document, "status": "RUNNING"},
        )
        self._screen.check(
            "FINISHED came twice and counts once",
            [entry["id"] for entry in entries],
            ["create", "pending", "running", "finished", "late"],
        )
        self._screen.check(
            "the late RUNNING is kept, not applied, with the reason",
            (entries[-1]["applied"], entries[-1]["reason"], entries[-1]["state"]),
            (False, "wrong_state", "FINISHED"),
        )
        self._timeline(job["id"])

    def _timeline(self, job: str) -> None:
        shown, status = run_on_terminal(
            [self._service.command, "history", job, "--timeline"],
            {**self._service.environment, "COLUMNS": "100"},
        )
        self._screen.block(shown)
        self._screen.check("the command line draws it: jobwire history --timeline", status, 0)

    def _stale(self, job: str) -> None:
        self._screen.step("A job that went silent is ended: its heartbeat is 1 s")
        until = time.monotonic() + 30
        while (seen := self._api.get(f"/v1/jobs/{job}").json)["state"] == "RUNNING":
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        self._until_heard()
        last = self._api.history(job)[-1]
        self._screen.check(
            f"the reaper ended it: {last['data']['detail'] if last['data'] else 'no entry'}",
            (seen["state"], seen["cause"], last["source"]),
            ("FAILED", "stale", "reaper"),
        )

    def _bulk(self) -> None:
        total = _JOBS * _EVENTS_PER_JOB
        self._screen.step(
            f"A collector sends {total:,} events of {_JOBS} jobs; kill -9 in the middle"
        )
        jobs = [self._api.make_job({"name": f"sample {n}"})["id"] for n in range(_JOBS)]
        collector = Collector(self._api, jobs, _EVENTS_PER_JOB)
        collector.start()
        collector.wait_for(_KILL_AT)
        self._service.kill()
        accepted = set(collector.accepted)
        self._screen.claim(
            f"kill -9 after {len(accepted)} accepted events, with more under way",
            holds=_KILL_AT <= len(accepted) < total,
            seen=len(accepted),
        )
        seconds = self._service.start()
        self._screen.check(
            f"ready again after {seconds:.1f} s, on the same data folder",
            self._api.get("/health/ready").json["status"],
            "ready",
        )
        everything_was_sent = collector.finish()
        self._screen.claim(
            f"the collector repeated {collector.repeated} unanswered requests, with the same ids",
            holds=everything_was_sent and collector.repeated > 0,
            seen=f"everything sent: {everything_was_sent}",
        )
        self._prove(collector, accepted)

    def _prove(self, collector: Collector, before_the_kill: set[tuple[str, str]]) -> None:
        histories = {job: self._api.history(job) for job in collector.sent}
        stored = [(job, entry["id"]) for job, entries in histories.items() for entry in entries]
        events = [key for key in stored if key[1] != "create"]
        check = self._screen.check
        check(
            f"nothing is lost: the {len(before_the_kill)} accepted before the kill are there",
            before_the_kill - set(events),
            set(),
        )
        check(f"nothing is doubled: {len(events):,} entries", len(events), len(set(events)))
        check(
            "nothing is out of order: each job has its events as they were sent",
            {job: [entry["id"] for entry in entries][1:] for job, entries in histories.items()},
            {job: [event["id"] for event in events] for job, events in collector.sent.items()},
        )
        check(
            "the numbers of each history have no gap, and every job is FINISHED",
            {
                ([entry["seq"] for entry in entries] == list(range(1, len(entries) + 1)))
                and entries[-1]["state"] == "FINISHED"
                for entries in histories.values()
            },
            {True},
        )
        self._until_heard()
        self._screen.claim(
            "the live stream went on where it was cut off and missed no entry",
            holds=self._follower.reconnects > 0 and self._follower.gaps == 0,
            seen=f"{self._follower.reconnects} breaks, {self._follower.gaps} gaps",
        )

    def _stop(self) -> None:
        self._screen.step("Stop the service with SIGTERM")
        self._follower.end()
        self._screen.check("exit code 0", self._service.stop(), 0)

    def _until_heard(self) -> None:
        """Wait until the stream has shown all that is stored."""
        jobs = self._api.get("/v1/jobs?limit=500").json["items"]
        stored = sum(job["seq"] for job in jobs)
        heard = self._follower.wait_for(stored, 30)
        if heard < stored:
            raise Failed(f"the stream showed {heard} of {stored} entries")


def main() -> int:
    """Run the demo; 0 if every check held."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # ignored in a shell's background
    began = time.monotonic()
    screen = Screen()
    screen.title("Jobwire: any platform reports a job's state with one small event.")
    folder = Path(tempfile.mkdtemp(prefix="jobwire-demo-"))
    service = Service(folder / "data", roots=folder / "files")
    try:
        Demo(screen, service, folder / "files").run()
    except (Failed, RuntimeError, OSError) as error:
        screen.failure(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        service.end()
        shutil.rmtree(folder, ignore_errors=True)
    screen.title(f"\nAll {screen.checks} checks held, in {time.monotonic() - began:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
