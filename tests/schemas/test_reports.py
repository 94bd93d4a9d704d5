"""What workers report: the JSON is a promise between releases, and shown in every history."""

from __future__ import annotations

import msgspec
import pytest

from jobwire.schemas.reports import (
    AttemptEnd,
    Cancelled,
    Cleaned,
    CopiedFile,
    Exited,
    Failed,
    Finished,
    Lost,
    Placement,
    Progress,
    Queued,
    Report,
    Running,
    Staged,
    Staging,
    Submitting,
    Suspected,
)

_COPIED = CopiedFile(path="in/a", size=3, sha256="ab")
_COPIED_JSON = '{"path":"in/a","size":3,"sha256":"ab"}'

_WRITTEN: list[tuple[Report, str, str]] = [
    (Staging(), "stage", "{}"),
    (
        Staged(files=1, bytes=3, copied=(_COPIED,)),
        "staged",
        f'{{"files":1,"bytes":3,"copied":[{_COPIED_JSON}]}}',
    ),
    (
        Staged(files=0, bytes=0, copied=(), copied_more=2),
        "staged",
        '{"files":0,"bytes":0,"copied":[],"copied_more":2}',
    ),
    (Submitting(), "submit", "{}"),
    (Queued(native="42"), "queued", '{"native":"42"}'),
    (Running(pid=7), "run", '{"pid":7}'),
    (Running(native="42"), "run", '{"native":"42"}'),
    (
        Progress(stage="in", files=0, bytes=1, total_bytes=9),
        "update",
        '{"stage":"in","files":0,"bytes":1,"total_bytes":9}',
    ),
    (Exited(exit_code=0), "exit", '{"exit_code":0}'),
    (Finished(exit_code=0), "finish", '{"exit_code":0}'),
    (
        Finished(exit_code=0, files=0, bytes=0, copied=()),
        "finish",
        '{"exit_code":0,"files":0,"bytes":0,"copied":[]}',
    ),
    (
        Failed(cause="signal", exit_code=137, signal="SIGKILL", detail="why"),
        "fail",
        '{"cause":"signal","exit_code":137,"signal":"SIGKILL","detail":"why"}',
    ),
    (Cancelled(cause="cancelled"), "cancelled", '{"cause":"cancelled"}'),
    (Cleaned(kept=("stdout",)), "cleaned", '{"kept":["stdout"]}'),
    (
        Suspected(cause="lost", detail="why"),
        "suspect",
        '{"cause":"lost","detail":"why"}',
    ),
    (Lost(cause="lost", detail="why"), "lose", '{"cause":"lost","detail":"why"}'),
]


@pytest.mark.parametrize(("report", "event", "written"), _WRITTEN)
def test_a_report_is_written_as_the_releases_before_wrote_it(
    report: Report, event: str, written: str
) -> None:
    assert (report.event, msgspec.json.encode(report).decode()) == (event, written)
    assert msgspec.json.decode(written, type=type(report)) == report


def test_what_a_release_before_wrote_with_nulls_is_read() -> None:
    written = b'{"cause":"staging","exit_code":null,"signal":null,"detail":null,"files":0}'

    assert msgspec.json.decode(written, type=AttemptEnd) == AttemptEnd(cause="staging")


def test_a_field_of_a_later_release_is_not_read() -> None:
    assert msgspec.json.decode(b'{"native":"4","usage":{}}', type=Placement).native == "4"
