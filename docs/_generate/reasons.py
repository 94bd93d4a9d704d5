"""The reasons part of `reference/events.md`: why an event is kept or refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from _generate.markdown import table
from jobwire.actors.dialects.native.outcomes import refusal_of
from jobwire.schemas import outcomes
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.outcomes import Outcome, Reason, Verdict

_COMMENT = re.compile(r'^    ([A-Z_]+) = "\w+"  #.*?\b(kept|refused): (.+)$', re.MULTILINE)


def reasons_table() -> str:
    """Write the table; the meanings are the comments behind the reasons in the source."""
    statuses = {reason: status for status, _, reason in under_wait()}
    rows = [
        [
            f"`{reason}`",
            "history, `applied: false`" if verdict == "kept" else "`/v1/refused`",
            meaning,
            str(statuses[reason]),
        ]
        for reason, verdict, meaning in _reasons()
    ]
    return table(["reason", "where the event is kept", "meaning", "status under `wait`"], rows)


def under_wait() -> Iterator[tuple[int, str, Reason]]:
    """Yield the status and code of each reason in an answer under `wait`."""
    for reason, verdict, _ in _reasons():
        error = refusal_of(
            Outcome(job=JobId(""), event=EventId(""), verdict=verdict, reason=reason)
        )
        if error is not None:
            yield error.status, error.code, reason


def _reasons() -> Iterator[tuple[Reason, Verdict, str]]:
    found = {
        name: (verdict, text)
        for name, verdict, text in _COMMENT.findall(inspect.getsource(outcomes))
    }
    for reason in Reason:
        verdict, meaning = found[reason.name]
        yield reason, "kept" if verdict == "kept" else "refused", meaning
