"""The pure rules of the joblauncher dialect: requests, staging, states."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.actors.dialects.joblauncher.comments import without_comments
from jobwire.actors.dialects.joblauncher.logins import without_login
from jobwire.actors.dialects.joblauncher.requests import LaunchRequest, echo, read_request, reread
from jobwire.actors.dialects.joblauncher.staging import Staged, staged
from jobwire.actors.dialects.joblauncher.statuses import LauncherStatus, is_unstarted, status_of
from jobwire.schemas.codec import parse_json
from jobwire.schemas.errors import Invalid, JobwireError, Malformed
from jobwire.schemas.jobs import Ending
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.lifecycles.execution import EXECUTION
from jobwire.schemas.specs import Cause, Spec, StageIn, StageOut, check
from tests.support.stopwatch import Stopwatch

# --- comments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commented", "plain"),
    [
        (b'{"a": 1} // why', {"a": 1}),
        (b'/* first */ {"a": /* in\nthe middle */ 1}', {"a": 1}),
        (b'// first\r\n{"a": 1}', {"a": 1}),
        (b'{"a": "http://x/*y*/"}', {"a": "http://x/*y*/"}),
        (rb'{"a": "\" // no comment"} // one', {"a": '" // no comment'}),
        (rb'{"a": "\\"} // "one"', {"a": "\\"}),
    ],
)
def test_comments_are_read_over_and_texts_are_not(commented: bytes, plain: Any) -> None:
    assert parse_json(without_comments(commented)) == plain


@pytest.mark.parametrize("body", [b'{"a": 1} /* never ended', b'{"a": "never ended // }', b"/ 1"])
def test_what_is_no_whole_comment_stays_a_mistake(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_json(without_comments(body))


@pytest.mark.parametrize(
    "body", [b"/*x" * 300_000, b'/"' + b'\\"' * 500_000, b'/"' + b'\\"' * 500_000 + b"\\"]
)
def test_what_never_ends_is_read_once_and_left_as_it_is(body: bytes) -> None:
    watch = Stopwatch()

    assert without_comments(body) == body
    # Read anew from each of its signs on, it would take minutes, in which nobody else is served.
    assert watch.seconds < 5


# --- requests -------------------------------------------------------------------------------------


def test_what_is_left_out_or_null_has_the_original_s_defaults() -> None:
    request = read_request(b'{"jobdir": "/d", "executable": "x", "prestaged": null}', "local")

    assert echo(request) == {
        "jobdir": "/d",
        "executable": "x",
        "arguments": (),
        "prestaged": (),
        "poststaged": (),
        "stderr": "stderr.txt",
        "stdout": "stdout.txt",
        "environment": {},
        "status_callback_url": None,
        "launcher": "local",
        "max_time": -1,
    }


@pytest.mark.parametrize("missing", [b"{}", b'{"jobdir": null}', b'{"jobdir": ""}'])
def test_a_request_without_directory_is_refused_and_told_why(missing: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read_request(missing, "local")

    assert refused.value.pointer == "/jobdir"


@pytest.mark.parametrize(
    "body", [b"[]", b'"x"', b"5", b"null", b'{"jobdir": 5}', b'{"arguments": [null]}']
)
def test_another_type_of_json_is_400_as_it_was(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_request(body, "local")


@pytest.mark.parametrize("data", [None, b"", b"[]", b'{"jobdir": "/d"}', b'"x"', b"\xff"])
def test_what_another_door_stored_is_no_request(data: bytes | None) -> None:
    assert reread(data) is None


# --- staging --------------------------------------------------------------------------------------


def _staged(jobdir: str = "/d", **lists: Any) -> Staged:
    named: dict[str, Any] = {
        "prestaged": (),
        "poststaged": (),
        "printed": ("stdout.txt", "stderr.txt"),
        "keep_paths": False,
        **lists,
    }
    return staged(jobdir, **named)


@pytest.mark.parametrize(
    ("entry", "source", "target"),
    [
        ("a.txt", "file:///d/a.txt", "a.txt"),
        ("in/a.txt", "file:///d/in/a.txt", "a.txt"),
        ("/ref/a.txt", "file:///ref/a.txt", "a.txt"),
        ("in/directory/", "file:///d/in/directory", "directory"),
        ("./in//a.txt", "file:///d/in/a.txt", "a.txt"),
        ("//ref/./a.txt/.", "file:///ref/a.txt", "a.txt"),
        ("a b:c%.txt", "file:///d/a%20b%3Ac%25.txt", "a b:c%.txt"),
    ],
)
def test_inputs_are_flattened_to_their_last_names(entry: str, source: str, target: str) -> None:
    assert _staged(prestaged=[entry]).inputs == (StageIn(source=source, target=target),)


@pytest.mark.parametrize(
    ("entry", "source", "target"),
    [
        ("o.txt", "o.txt", "file:///d/o.txt"),
        ("out/o.txt", "o.txt", "file:///d/out/o.txt"),
        ("/x/o.txt", "o.txt", "file:///d/x/o.txt"),
        ("out/directory/", "directory", "file:///d/out/directory"),
        (".//out/./o.txt", "o.txt", "file:///d/out/o.txt"),
    ],
)
def test_outputs_are_taken_by_last_name_and_stay_below_the_directory(
    entry: str, source: str, target: str
) -> None:
    assert _staged(poststaged=[entry]).outputs[2:] == (
        StageOut(source=source, target=target, when="always"),
    )


def test_printed_files_are_copied_first_and_nothing_twice() -> None:
    outputs = _staged("/d/", poststaged=["b", "stdout.txt", "a", "b"]).outputs

    assert [each.target for each in outputs] == [
        "file:///d/stdout.txt",
        "file:///d/stderr.txt",
        "file:///d/b",
        "file:///d/a",
    ]


@pytest.mark.parametrize("jobdir", ["/d/e", "/d/e/", "//d//e", "/d/./e/."])
def test_a_directory_is_the_same_however_it_is_written(jobdir: str) -> None:
    lists = _staged(jobdir, prestaged=["a"])

    assert lists.directory == "file:///d/e"
    assert lists.inputs[0].source == "file:///d/e/a"


def test_paths_are_kept_where_that_is_wanted() -> None:
    kept = _staged(prestaged=["1/a", "2/a", "/ref/b"], poststaged=["out/o"], keep_paths=True)

    assert [each.target for each in kept.inputs] == ["1/a", "2/a", "b"]
    assert [(each.source, each.target) for each in kept.outputs[2:]] == [
        ("out/o", "file:///d/out/o")
    ]


@pytest.mark.parametrize(
    ("lists", "pointer"),
    [
        ({"prestaged": ["a", "in/a"]}, "/prestaged/1"),
        ({"prestaged": ["in/stdout.txt"]}, "/prestaged/0"),
        ({"prestaged": ["../a"]}, "/prestaged/0"),
        ({"prestaged": ["/ref/../../etc/passwd"]}, "/prestaged/0"),
        ({"prestaged": [""]}, "/prestaged/0"),
        ({"prestaged": ["/"]}, "/prestaged/0"),
        ({"prestaged": ["*.txt"]}, "/prestaged/0"),
        ({"prestaged": ["a\0b"]}, "/prestaged/0"),
        ({"poststaged": ["ok", "../../etc/cron.d/x"]}, "/poststaged/1"),
        ({"poststaged": ["./."]}, "/poststaged/0"),
        ({"poststaged": ["-rf"]}, "/poststaged/0"),
        ({"printed": ("../out", "stderr.txt")}, "/stdout"),
        ({"printed": ("stdout.txt", "/etc/motd")}, "/stderr"),
        ({"jobdir": "relative"}, "/jobdir"),
        ({"jobdir": "/d/../e"}, "/jobdir"),
        ({"jobdir": "/d/*"}, "/jobdir"),
        ({"jobdir": "//"}, "/jobdir"),
    ],
)
def test_a_path_that_leads_out_or_collides_is_refused_and_named(
    lists: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        _staged(**lists)

    assert refused.value.pointer == pointer


_names = st.lists(st.text(max_size=12), max_size=4)


@given(_names, _names, st.text(max_size=12), st.booleans())
def test_whatever_is_asked_stays_below_or_is_refused(
    prestaged: list[str], poststaged: list[str], jobdir: str, keep_paths: bool
) -> None:
    try:
        lists = _staged(
            f"/d/{jobdir}", prestaged=prestaged, poststaged=poststaged, keep_paths=keep_paths
        )
        spec = Spec(argv=("x",), stage_in=lists.inputs, stage_out=lists.outputs)
    except (JobwireError, UnicodeEncodeError):
        return

    check(spec)

    assert all(each.target.startswith("file:///d/") for each in lists.outputs)
    assert not any(".." in each.target.split("/") for each in lists.outputs)


# --- states ---------------------------------------------------------------------------------------


def _status(
    state: str, outcome: JobOutcome | None, cause: str | None = None, **ending: Any
) -> LauncherStatus:
    return status_of(state, outcome, cause, Ending(**ending) if ending else None)


@pytest.mark.parametrize(
    ("state", "called", "running"),
    [
        ("CREATED", "INITIAL", False),
        ("STAGING", "INITIAL", False),
        ("STAGED", "PENDING", False),
        ("SUBMITTING", "PENDING", False),
        ("QUEUED", "PENDING", False),
        ("RUNNING", "RUNNING", True),
        ("COLLECTING", "RUNNING", True),
        ("CANCELLING", "RUNNING", True),
        ("UNKNOWN", "RUNNING", True),
        ("RETRYING", "PENDING", False),
    ],
)
def test_before_its_end_a_job_is_called_as_the_local_scheduler_did(
    state: str, called: str, running: bool
) -> None:
    assert _status(state, None) == LauncherStatus(state=called, running=running, done=False)


@pytest.mark.parametrize(
    ("outcome", "cause", "ending", "expected"),
    [
        ("success", None, {"exit_code": 0}, ("DONE", 0, None)),
        ("failure", Cause.EXIT_CODE, {"exit_code": 3, "detail": "see"}, ("DONE", 3, None)),
        ("failure", Cause.SIGNAL, {"exit_code": 139, "signal": "SIGSEGV"}, ("DONE", 139, None)),
        (
            "failure",
            Cause.STAGING,
            {"exit_code": 0, "stage_out_problem": "'o': no"},
            ("DONE", 0, "not all outputs were copied back: 'o': no"),
        ),
        (
            "failure",
            Cause.EXIT_CODE,
            {"exit_code": 3, "stage_out_problem": "'o': no"},
            ("DONE", 3, "not all outputs were copied back: 'o': no"),
        ),
        ("cancelled", Cause.CANCELLED, {}, ("KILLED", None, "Process cancelled by user.")),
        ("failure", Cause.WALLTIME, {"exit_code": 143}, ("KILLED", None, "Process timed out.")),
        ("failure", Cause.WAITED, {"detail": "late"}, ("KILLED", None, "Process timed out.")),
        ("failure", Cause.COULD_NOT_START, {"detail": "no x"}, ("ERROR", None, "no x")),
        ("failure", Cause.INTERRUPTED, {"detail": "gone"}, ("ERROR", None, "gone")),
        ("failure", None, {}, ("ERROR", None, "it failed: no cause is known")),
        ("lost", "lost", {}, ("ERROR", None, "nothing is known of the process any more")),
    ],
)
def test_an_end_is_told_as_it_was(
    outcome: JobOutcome, cause: str | None, ending: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    status = _status("any", outcome, cause, **ending)

    assert (status.state, status.exit_code, status.exception) == expected
    assert (status.running, status.done) == (False, True)


def test_every_state_of_the_lifecycle_has_a_consistent_status() -> None:
    for name, state in EXECUTION.states.items():
        status = _status(name, state.outcome)

        assert status.done == (state.outcome is not None)
        assert status.running == (status.state == "RUNNING")


def test_the_document_has_the_misspelt_name_and_the_correct_one_on_request() -> None:
    status = LauncherStatus(state="RUNNING", running=True)

    assert status.document(spelt=False) == {
        "state": "RUNNING",
        "exitCode": None,
        "exception": None,
        "running": True,
        "done": False,
        "schedulerSpecficInformation": None,
    }
    assert {*status.document(spelt=True)} - {*status.document(spelt=False)} == {
        "schedulerSpecificInformation"
    }


def test_a_job_whose_inputs_failed_is_told_from_one_whose_outputs_did() -> None:
    assert is_unstarted("failure", Cause.STAGING, Ending(detail="no a.txt"))
    assert is_unstarted("failure", Cause.STAGING, None)
    assert not is_unstarted("failure", Cause.STAGING, Ending(exit_code=0))
    assert not is_unstarted("failure", Cause.EXIT_CODE, Ending(exit_code=1))
    assert not is_unstarted(None, None, None)


# --- logins ---------------------------------------------------------------------------------------


def _asked(url: str | None) -> LaunchRequest:
    return LaunchRequest(jobdir="/d", executable="x", status_callback_url=url)


@pytest.mark.parametrize(
    ("url", "shown", "pair"),
    [
        ("http://u:p@h:80/a?b@c", "http://h:80/a?b@c", b"u:p"),
        ("http://u@h/", "http://h/", b"u:"),
        ("http://:p@h/", "http://h/", b":p"),
        ("http://u:p:q@r@h/", "http://h/", b"u:p:q@r"),
        ("http://%C3%BC%40:%3a%FF@h/", "http://h/", b"\xc3\xbc@::\xff"),
        ("http://ü:p@[::1]/", "http://[::1]/", "ü:p".encode()),
        ("//u:p@h", "//h", b"u:p"),
    ],
)
def test_a_login_is_taken_out_of_an_address(url: str, shown: str, pair: bytes) -> None:
    request, authorization = without_login(_asked(url))

    assert request == _asked(shown)
    assert authorization == f"Basic {base64.b64encode(pair).decode()}"


@pytest.mark.parametrize("url", [None, "", "http://h/a@b", "http://h?a@b", "http://h#a@b", "u@h"])
def test_an_address_without_a_login_stays_as_it_is(url: str | None) -> None:
    assert without_login(_asked(url)) == (_asked(url), "")


@pytest.mark.parametrize("login", ["u%3Av:p", "u:p%0a", "u:p\n", "%00:p"])
def test_a_login_that_basic_cannot_carry_is_refused_and_not_repeated(login: str) -> None:
    with pytest.raises(Invalid) as refused:
        without_login(_asked(f"http://{login}@h/"))

    assert refused.value.pointer == "/status_callback_url"
    assert "http" not in refused.value.detail
