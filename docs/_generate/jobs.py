"""`reference/jobs.md`: the fields of a job that the service runs, and how it ends."""

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
        "deadline_s": "For a job that runs elsewhere: it is stale this long after its creation.",
        "heartbeat_s": "For a job that runs elsewhere: it is stale this long after its last event.",
        "parent": "Id of another job of yours.",
        "callbacks": "[Receivers to notify](#callbacks).",
        "spec": "[What to run](#spec); without it the job runs elsewhere.",
    },
    Spec: {
        "env": "Variables in addition to [those of every "
        "job](../how-to/run-jobs.md#the-environment-"
        "of-a-job); a value is a text or a [secret](#a-secret-in-specenv); the job does not "
        "inherit "
        "the service's environment.",
        "stage_in": "[Files to copy in](#specstage_in) before the job starts.",
        "stage_out": "[Files to copy out](#specstage_out) when it has ended.",
        "stdout": "The file in the job's directory that receives its standard output.",
        "stderr": "The file that receives its standard error; the same name as `stdout` joins the "
        "two.",
        "resources": "[Cores, memory and time](#specresources).",
        "retries": "[Whether a failed attempt is retried](#specretries).",
        "clean_up": "[When its directory is removed](#specclean_up).",
    },
    Secret: {"secret": "The secret's name."},
    CleanUp: {"when": "After which outcomes the directory is removed."},
    Callback: {"url": "An `http` or `https` address."},
}

#: What a cause means: the comments behind the causes in the source.
_CAUSE = re.compile(r'^    ([A-Z_]+) = "\w+"  # (.+)$', re.MULTILINE)

#: What each state means for a reader of the job.
_STATES = {
    "CREATED": "The job is stored. It waits for its turn, for `start_after`, or for a release.",
    "STAGING": "Its files are being copied in. `update` entries report the progress.",
    "STAGED": "Its files are in place; it waits for free cores.",
    "SUBMITTING": "It is about to start, or may have started already.",
    "QUEUED": "It waits in the queue of a batch system. The site `local` has no such queue.",
    "RUNNING": "Its process is running. You can read and follow its output.",
    "COLLECTING": "Its process has ended; files are being copied out. It can no longer be "
    "cancelled.",
    "CANCELLING": "It is being ended: by SIGTERM first, by SIGKILL after `local.grace_s`.",
    "RETRYING": "An attempt failed; the next one starts after a pause.",
    "UNKNOWN": "Nothing of it is found. The service keeps looking until `local.lost_after_s`.",
    "FINISHED": "Exit code 0, and all its output files are in place.",
    "FAILED": "It did not succeed: `cause`, `exit_code`, `signal` and `detail` say why.",
    "CANCELLED": "It was ended on request. No process of it is alive.",
    "LOST": "Its outcome could not be found out, so it is not run again.",
}

#: Fields that only a job that the service runs fills.
_TOLD = {
    "attempt": "number of the newest attempt, from 1",
    "held": "whether it waits for a release",
    "cause": "why it is RETRYING or FAILED; one of the [causes](#causes)",
    "exit_code": "of the newest attempt that ended; 128 and the signal's number, where one "
    "ended it",
    "signal": "the signal that ended it, such as `SIGSEGV`",
    "detail": "further facts about its end, such as the file that was missing",
    "retry_of": "the job that this one repeats",
    "native": "the id that its batch system gave the newest attempt, where it has one",
}

_INTRODUCTION = """\
# Jobs that the service runs

The service runs a job that has a `spec`.
[Run jobs](../how-to/run-jobs.md) shows how; this page names every field.
An unknown field is refused, and so is a value that can never work; `pointer` names the field.

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
A path that breaks these rules is refused with `bad_path`.

An **address** is a `file:` URI of this machine, such as `file:///data/in.csv`, or a path relative \
to `directory`.
It must be below a [root of the owner](../how-to/stage-files.md#roots); \
if not, the code is `outside_roots`.

A **pattern** contains `*`, `?` or `[...]` and stands for all files that it matches; \
[Stage files](../how-to/stage-files.md#patterns-and-directories) has the rules.

A command with its environment has at most 1,000,000 bytes; \
the whole `spec` at most [`limits.spec_bytes`](settings.md).
"""

_CAUSES = """\
## Causes

The `cause` of an attempt that did not succeed.
[Retries and causes](../explanation/retries-and-causes.md) says how each is determined.

"""

_ENDS = """\
## States

The states are those of the lifecycle [`execution`](lifecycles.md#execution).
For a reader of the job they mean:

"""

_SHOWN = """\
## Fields of a job that runs

In addition to the [fields of every job](http.md#get-v1jobsid), such a job has these:

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
            _CAUSES + table(["cause", "meaning", "retried by default"], _causes()),
            _ENDS + table(["state", "category", "meaning"], _states()),
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
