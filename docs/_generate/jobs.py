"""`reference/jobs.md`: what a job that the service runs can be asked to be, and how it ends."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from _generate.fields import default, fields, kind, meanings
from _generate.markdown import note, table
from jobwire.actors.operations.job_creation import JobRequest
from jobwire.schemas import specs
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.lifecycles import BUILT_IN
from jobwire.schemas.specs import (
    Cause,
    CleanUp,
    Resources,
    Retries,
    Secret,
    Spec,
    StageIn,
    StageOut,
)
from jobwire.schemas.views import JobView

#: What fields mean that have no text of their own in the source, or need more words here.
_MEANINGS: Mapping[type[Struct], Mapping[str, str]] = {
    JobRequest: {
        "name": "A name for people, on one line.",
        "tags": "Words that group jobs.",
        "data": "Kept in the first history entry.",
        "deadline_s": "Of a job that runs elsewhere: stale so long after it was made.",
        "heartbeat_s": "Of a job that runs elsewhere: stale after so long without any event.",
        "parent": "Id of another job of yours.",
        "callbacks": "[Whom to tell](#callbacks).",
        "spec": "[What to run](#spec); without it the job runs elsewhere.",
    },
    Spec: {
        "env": "Variables beside the [few that every job has](../how-to/run-jobs.md#what-a-job-"
        "finds); a value is a text or a [secret](#a-secret-in-specenv); nothing of the service's "
        "own is inherited.",
        "stage_in": "[What is brought in](#specstage_in) before the job starts.",
        "stage_out": "[What is brought out](#specstage_out) when it has ended.",
        "stdout": "The file in the job's directory that its standard output goes to.",
        "stderr": "The same of its standard error; the same name joins the two.",
        "resources": "[What it may use](#specresources).",
        "retries": "[Whether it is tried again](#specretries).",
        "clean_up": "[What becomes of its directory](#specclean_up).",
    },
    Secret: {"secret": "The secret's name."},
    CleanUp: {"when": "After which ends it is removed."},
    Callback: {"url": "An `http` or `https` address."},
}

#: What a cause means: the comments behind the causes in the source.
_CAUSE = re.compile(r'^    ([A-Z_]+) = "\w+"  # (.+)$', re.MULTILINE)

#: What somebody who looks at a job should know of each state.
_STATES = {
    "CREATED": "It is stored. It waits for its turn, for `start_after`, or for a release.",
    "STAGING": "Its files are being copied in. `update` entries tell how far that is.",
    "STAGED": "Its files are there; it waits for free cores.",
    "SUBMITTING": "It is about to start. From here on it may have started.",
    "QUEUED": "A batch system has it. The site `local` has no such queue.",
    "RUNNING": "Its process is there. Its output can be read and followed.",
    "COLLECTING": "Its process has ended; files are being copied out. Too late to cancel.",
    "CANCELLING": "It is being ended: first asked by TERM, after `local.grace_s` killed.",
    "RETRYING": "An attempt failed; the next one starts after a pause.",
    "UNKNOWN": "Nothing is found of it. It is looked for until it is found or given up.",
    "FINISHED": "Exit code 0, and all that was to be brought out is in its place.",
    "FAILED": "It did not succeed: `cause`, `exit_code`, `signal` and `detail` say why.",
    "CANCELLED": "Ended on request. Nothing of it is alive.",
    "LOST": "Its fate could not be found out, so it is not run again.",
}

#: What a job tells of itself beside what every job does.
_TOLD = {
    "attempt": "number of the newest attempt, from 1",
    "held": "whether it waits for a release",
    "cause": "why it is RETRYING or FAILED; one of the [causes](#causes)",
    "exit_code": "of the newest attempt that ended; 128 and the signal's number, where one "
    "ended it",
    "signal": "the signal that ended it, such as `SIGSEGV`",
    "detail": "what else is known of its end, such as the file that was missing",
    "retry_of": "the job that this one is a repetition of",
    "native": "the id that its batch system gave the newest attempt, where it has one",
}

_INTRODUCTION = """\
# Jobs that the service runs

A job with a `spec` is run by the service.
[Run jobs](../how-to/run-jobs.md) shows how; this page names every field.
A field that does not exist is refused, and so is whatever could never work; `pointer` names it.

```json
{
  "name": "fit sample 7",
  "tags": ["nightly"],
  "priority": 10,
  "spec": {
    "argv": ["python3", "fit.py", "--steps", "1000"],
    "env": {"LANG": "C.UTF-8", "DB_PASSWORD": {"secret": "lab-db"}},
    "directory": "file:///data/project",
    "stage_in": [
      {"from": "fit.py"},
      {"from": "samples/7/*.csv", "to": "input/"}
    ],
    "stage_out": [
      {"from": "fit.json", "to": "results/7/"},
      {"from": "core.*", "to": "results/7/", "when": "always", "optional": true}
    ],
    "resources": {"cores": 2, "memory_mb": 2048, "walltime_s": 3600},
    "retries": {"max": 2, "backoff_s": 30, "on": ["exit_code", "signal"]},
    "clean_up": {"when": "always", "after_s": 86400, "keep": ["stdout", "stderr", "fit.json"]}
  },
  "callbacks": [{"url": "https://lab.example.org/hook", "outcomes": ["success", "failure"]}]
}
```
"""

_PATHS = """\
### Paths and addresses

A **path** is relative to the job's directory.
It has no `..`, `.` or empty name, no backslash and no control character.
It does not begin with `/`, and none of its names begins with `-` or `~` or has over 255 bytes.
What breaks this is refused with `bad_path`.

An **address** is a `file:` URI of this machine, such as `file:///data/in.csv`, or a path relative
to `directory`.
It must lie below a [directory that the owner may use](../how-to/stage-files.md#roots);
if not, the code is `outside_roots`.

A **pattern** has `*`, `?` or `[...]` in it and stands for whatever it matches, as
[files in and out](../how-to/stage-files.md#patterns-and-directories) explains.

A command with its environment has at most 1,000,000 bytes;
the whole `spec` at most [`limits.spec_bytes`](settings.md).
"""

_CAUSES = """\
## Causes

The `cause` of an attempt that did not succeed.
[Retries and causes](../explanation/retries-and-causes.md) tells how each is found out.

"""

_ENDS = """\
## States

The states are those of the lifecycle [`execution`](lifecycles.md#execution).
This is what they mean for whoever waits for the job:

"""

_SHOWN = """\
## What a job tells

Beside [what every job tells](http.md#get-v1jobsid), these fields are of use:

"""


def jobs_page() -> str:
    """
    Write the page.

    Raises:
        LookupError: a field, cause or state is not explained here.

    """
    return "\n".join(
        [
            note("schemas/specs.py and actors/operations/job_creation.py"),
            _INTRODUCTION,
            _section("## The request", JobRequest),
            _section("## `spec`", Spec),
            _PATHS,
            _section("### A secret in `spec.env`", Secret),
            _section("### `spec.stage_in`", StageIn),
            _section("### `spec.stage_out`", StageOut),
            _section("### `spec.resources`", Resources),
            _section("### `spec.retries`", Retries),
            _section("### `spec.clean_up`", CleanUp),
            _section("## `callbacks`", Callback),
            _CAUSES + table(["cause", "meaning", "tried again by default"], _causes()),
            _ENDS + table(["state", "category", "what it means for you"], _states()),
            _SHOWN + table(["field", "meaning"], _told()),
        ]
    )


def _section(heading: str, record: type[Struct]) -> str:
    text = " ".join((inspect.getdoc(record) or "").split())
    return f"{heading}\n\n{text}\n\n" + table(
        ["field", "type", "default", "meaning"], _rows(record)
    )


def _rows(record: type[Struct]) -> Iterator[list[str]]:
    texts = {**dict(meanings(record)), **_MEANINGS.get(record, {})}
    for field in fields(record):
        if field.name not in texts:
            message = f"docs/_generate/jobs.py says nothing about {record.__name__}.{field.name}"
            raise LookupError(message)
        shown = "**needed**" if field.required else default(field)
        yield [f"`{field.encode_name}`", kind(field.type), shown, texts[field.name]]


def _causes() -> Iterator[list[str]]:
    texts = dict(_CAUSE.findall(inspect.getsource(specs)))
    again = Retries().on
    for cause in Cause:
        yield [f"`{cause}`", texts[cause.name], "yes" if cause in again else "no"]


def _states() -> Iterator[list[str]]:
    for name, state in BUILT_IN["execution"].states.items():
        if name not in _STATES:
            message = f"docs/_generate/jobs.py says nothing about the state {name}"
            raise LookupError(message)
        yield [f"**{name}**", state.category, _STATES[name]]


def _told() -> Iterator[list[str]]:
    known = JobView.__struct_fields__
    for name, text in _TOLD.items():
        if name not in known:
            message = f"a job tells no {name!r}: docs/_generate/jobs.py"
            raise LookupError(message)
        yield [f"`{name}`", text]
