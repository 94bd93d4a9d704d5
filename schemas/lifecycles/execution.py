"""`execution`: jobs that Jobwire runs itself."""

from __future__ import annotations

from jobwire.schemas.lifecycle import Arrow, EventKind, Lifecycle, State
from jobwire.schemas.lifecycles.table import read_table

#: Names of the guarded exits in the table: what a failure leads to, and what a report out of the
#: dark does.
_GUARDED = {
    "retry/FAILED": (Arrow("RETRYING", "may_retry"), Arrow("FAILED")),
    "retry/CANCELLED/FAILED": (
        Arrow("RETRYING", "may_retry"),
        Arrow("CANCELLED", "cancel_applied"),
        Arrow("FAILED"),
    ),
    "CANCELLING/QUEUED": (Arrow("CANCELLING", "cancel_applied"), Arrow("QUEUED")),
    "CANCELLING/RUNNING": (Arrow("CANCELLING", "cancel_applied"), Arrow("RUNNING")),
}

_TABLE = """
           | stage   staged submit     queued            run                update exit       finish   fail                   cancel     cancelled suspect lose found   hold release cleaned
CREATED    | STAGING -      SUBMITTING -                 -                  same   -          -        FAILED                 CANCELLED  -         -       -    -       same same    -
STAGING    | same    STAGED -          -                 -                  same   -          -        retry/FAILED           CANCELLING -         -       -    -       same same    -
STAGED     | -       -      SUBMITTING -                 -                  same   -          -        retry/FAILED           CANCELLED  -         -       -    -       same same    -
SUBMITTING | -       -      same       QUEUED            RUNNING            same   COLLECTING FINISHED retry/FAILED           CANCELLING -         UNKNOWN -    -       -    -       -
QUEUED     | -       -      -          same              RUNNING            same   COLLECTING FINISHED retry/FAILED           CANCELLING CANCELLED UNKNOWN -    -       -    -       -
RUNNING    | -       -      -          same              same               same   COLLECTING FINISHED retry/FAILED           CANCELLING CANCELLED UNKNOWN -    -       -    -       -
COLLECTING | -       -      -          -                 -                  same   -          FINISHED retry/FAILED           -          -         -       -    -       -    -       -
CANCELLING | -       same   -          same              same               same   COLLECTING FINISHED CANCELLED              same       CANCELLED UNKNOWN -    -       -    -       -
RETRYING   | STAGING -      SUBMITTING -                 -                  same   -          -        FAILED                 CANCELLED  -         -       -    -       same same    -
UNKNOWN    | -       -      -          CANCELLING/QUEUED CANCELLING/RUNNING same   COLLECTING FINISHED retry/CANCELLED/FAILED CANCELLING CANCELLED same    LOST -       -    -       -
LOST       | -       -      -          -                 -                  -      -          -        -                      -          -         -       -    UNKNOWN -    -       -
FINISHED   | -       -      -          -                 -                  -      -          -        -                      -          -         -       -    -       -    -       same
FAILED     | -       -      -          -                 -                  -      -          -        -                      -          -         -       -    -       -    -       same
CANCELLED  | -       -      -          -                 -                  -      -          -        -                      -          -         -       -    -       -    -       same
"""  # noqa: E501 - the table is the documentation

EXECUTION = Lifecycle(
    name="execution",
    initial="CREATED",
    meaning="A job that Jobwire runs itself.",
    states={
        "CREATED": State(category="initial", meaning="accepted"),
        "STAGING": State(category="active", meaning="inputs are being copied in"),
        "STAGED": State(category="waiting", meaning="inputs are in place"),
        "SUBMITTING": State(category="active", meaning="about to start on its site"),
        "QUEUED": State(category="waiting", meaning="waiting in the queue of its site"),
        "RUNNING": State(category="active", meaning="the process runs"),
        "COLLECTING": State(category="active", meaning="ended; outputs are being copied out"),
        "CANCELLING": State(
            category="active", meaning="a cancel was accepted; the process is being ended"
        ),
        "RETRYING": State(category="waiting", meaning="failed; another attempt follows"),
        "UNKNOWN": State(category="active", meaning="not found; the service keeps looking"),
        "FINISHED": State(
            category="ended", outcome="success", final=True, meaning="exit code 0, outputs in place"
        ),
        "FAILED": State(
            category="ended",
            outcome="failure",
            final=True,
            meaning="did not succeed; see the cause",
        ),
        "CANCELLED": State(
            category="ended", outcome="cancelled", final=True, meaning="ended on request"
        ),
        "LOST": State(
            category="ended",
            outcome="lost",
            final=True,
            meaning="its outcome could not be found out",
        ),
    },
    events={
        "stage": EventKind(senders=("worker",), meaning="staging in starts"),
        "staged": EventKind(senders=("worker",), meaning="inputs are in place"),
        "submit": EventKind(
            senders=("worker",), meaning="intent to start; awaited before anything starts"
        ),
        "queued": EventKind(senders=("worker",), meaning="the site accepted it"),
        "run": EventKind(senders=("worker", "token"), meaning="the process started"),
        "update": EventKind(senders=("worker", "token"), meaning="information only"),
        "exit": EventKind(senders=("worker",), meaning="the process ended, with its exit code"),
        "finish": EventKind(senders=("worker",), meaning="succeeded, outputs in place"),
        "fail": EventKind(senders=("worker", "reaper"), meaning="did not succeed"),
        "cancel": EventKind(senders=("caller",), meaning="end the job"),
        "cancelled": EventKind(senders=("worker",), meaning="no process of it is alive"),
        "hold": EventKind(senders=("caller",), meaning="do not start the job for now"),
        "release": EventKind(senders=("caller",), meaning="let a held job start"),
        "cleaned": EventKind(senders=("worker",), meaning="its directory was cleaned up"),
        "suspect": EventKind(senders=("reaper",), meaning="the job cannot be found"),
        "lose": EventKind(senders=("reaper",), meaning="the service stops looking"),
        "found": EventKind(
            senders=("reaper",), administrative=True, meaning="a lost job was found again"
        ),
    },
    transitions=read_table(_TABLE, _GUARDED),
)
