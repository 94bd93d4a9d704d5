"""
`pipeline`: jobs that run elsewhere and are reported on.

After its computing a job may be indexed, validated and finalized, each step once or again.
"""

from __future__ import annotations

from jobwire.schemas.lifecycle import EventKind, Lifecycle, State
from jobwire.schemas.lifecycles.table import read_table

_TABLE = """
           | create  run     update     resource fail   finish   index    indexed  validate   validated reject   finalize  retire  reset ready
CREATED    | same    RUNNING same       same     FAILED -        -        -        -          -         -        -         -       RESET -
RUNNING    | -       same    same       same     FAILED FINISHED -        -        -          -         -        -         -       RESET -
FAILED     | -       -       -          -        -      -        -        -        -          -         -        -         RETIRED RESET -
FINISHED   | -       -       -          -        -      same     INDEXING same     VALIDATING -         -        -         RETIRED RESET -
INDEXING   | -       -       same       -        FAILED -        same     FINISHED -          -         -        -         -       RESET -
VALIDATING | -       -       same       -        FAILED -        -        -        -          VALIDATED REJECTED -         RETIRED RESET -
VALIDATED  | -       -       -          -        -      -        -        -        VALIDATING same      -        FINALIZED RETIRED RESET -
REJECTED   | -       -       -          -        -      -        -        -        -          -         -        -         RETIRED RESET -
FINALIZED  | -       -       -          -        -      -        -        -        -          -         -        -         RETIRED RESET -
RETIRED    | -       -       -          -        -      -        -        -        -          -         -        -         -       RESET -
RESET      | -       -       -          -        -      -        -        -        -          -         -        -         -       same  CREATED
"""  # noqa: E501 - the table is the documentation

PIPELINE = Lifecycle(
    name="pipeline",
    initial="CREATED",
    meaning="A job that another platform runs and reports on.",
    stale_event="fail",
    states={
        "CREATED": State(category="initial", meaning="created, nothing reported yet"),
        "RUNNING": State(category="active", meaning="computing has started"),
        "FAILED": State(category="ended", outcome="failure", final=True, meaning="did not succeed"),
        "FINISHED": State(category="ended", outcome="success", meaning="done, outputs archived"),
        "INDEXING": State(category="active", meaning="outputs are being indexed"),
        "VALIDATING": State(category="active", meaning="outputs are being validated"),
        "VALIDATED": State(category="ended", outcome="success", meaning="validation passed"),
        "REJECTED": State(
            category="ended", outcome="failure", final=True, meaning="outputs unusable"
        ),
        "FINALIZED": State(
            category="ended", outcome="success", final=True, meaning="outputs fit for use"
        ),
        "RETIRED": State(category="ended", final=True, meaning="withdrawn"),
        "RESET": State(category="waiting", meaning="outputs erased by an administrator"),
    },
    events={
        "create": EventKind(senders=(), meaning="written by the service when the job is created"),
        "run": EventKind(meaning="computing started"),
        "update": EventKind(meaning="information only"),
        "resource": EventKind(meaning="the platform is marshalling resources"),
        "fail": EventKind(senders=("token", "caller", "reaper"), meaning="did not succeed"),
        "finish": EventKind(meaning="done with outputs archived"),
        "index": EventKind(meaning="indexing of the outputs starts"),
        "indexed": EventKind(meaning="indexing of the outputs ended"),
        "validate": EventKind(meaning="validation starts"),
        "validated": EventKind(meaning="validation passed"),
        "reject": EventKind(meaning="the outputs cannot be used"),
        "finalize": EventKind(meaning="the outputs are fit for use"),
        "retire": EventKind(administrative=True, meaning="the job is withdrawn"),
        "reset": EventKind(
            senders=("caller",), administrative=True, meaning="the outputs were erased"
        ),
        "ready": EventKind(
            senders=("caller",), administrative=True, meaning="the job may run again"
        ),
    },
    transitions=read_table(_TABLE),
)
