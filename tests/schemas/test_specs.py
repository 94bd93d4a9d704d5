"""What a job may be asked to be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.schemas.errors import Invalid
from jobwire.schemas.invocations import Argv
from jobwire.schemas.releases import FIRST_LEVEL
from jobwire.schemas.specs import Secret, Spec, check


def _spec(**fields: Any) -> Spec:
    return msgspec.convert({"argv": ["true"], **fields}, Spec)


def test_a_command_is_all_that_a_spec_needs() -> None:
    spec = check(_spec())

    assert (spec.stdout, spec.stderr, spec.site) == ("stdout", "stderr", "local")
    assert (spec.retries.max, spec.resources.cores) == (0, 1)
    assert spec.clean_up.when == "always"


@given(st.lists(st.text(max_size=50), max_size=20))
def test_every_argument_without_nul_is_kept_as_it_is(arguments: list[str]) -> None:
    spec = _spec(argv=["true", *arguments])

    if any("\0" in each for each in arguments):
        with pytest.raises(Invalid, match="NUL"):
            check(spec)
    else:
        assert msgspec.json.decode(msgspec.json.encode(check(spec)), type=Spec) == spec


def test_what_a_job_runs_is_one_record_whichever_field_says_it() -> None:
    invocation = _spec(argv=["echo", "a b", "ü"]).invocation

    assert invocation == Argv(("echo", "a b", "ü"))
    assert (invocation.program, invocation.shown()) == ("echo", "echo 'a b' 'ü'")
    assert invocation.size_bytes() == (4 + 9) + (3 + 9) + (2 + 9)
    assert invocation.level == FIRST_LEVEL


def test_a_stored_spec_names_what_it_runs_by_its_field_alone() -> None:
    stored = b'{"argv":["true"]}'

    assert msgspec.json.decode(stored, type=Spec).invocation == Argv(("true",))
    assert msgspec.json.encode(_spec()) == stored


def test_a_program_without_a_name_is_refused() -> None:
    with pytest.raises(Invalid, match="the first argument must be the program") as refused:
        check(_spec(argv=["", "x"]))

    assert refused.value.pointer == "/spec/argv/0"


@pytest.mark.parametrize("member", ["script", "call"])
def test_another_way_to_say_what_runs_is_refused_by_name(member: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"unknown field `{member}`"):
        msgspec.json.decode(msgspec.json.encode({member: "x"}), type=Spec)


def test_a_cause_that_there_is_not_is_refused_and_read_from_what_is_stored() -> None:
    spec = _spec(retries={"on": ["exit_code", "meteor"]})

    with pytest.raises(Invalid, match="expected one of: exit_code, signal") as refused:
        check(spec)

    assert refused.value.pointer == "/spec/retries/on/1"
    assert spec.retries.on == ("exit_code", "meteor")


@pytest.mark.parametrize("name", ["A", "_", "a1", "PATH", "x" * 255])
def test_a_variable_may_have_any_name_that_shells_know(name: str) -> None:
    assert check(_spec(env={name: "1"})).env == {name: "1"}


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A=B", "A B", "Ä", "x" * 256, "A\n"])
def test_a_variable_with_another_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(_spec(env={name: "1"}))

    assert refused.value.pointer == f"/spec/env/{name}"


@pytest.mark.parametrize("name", ["token", "A.b-c_9", "x" * 64])
def test_a_secret_is_named_and_not_written(name: str) -> None:
    spec = check(_spec(env={"A": {"secret": name}, "B": "plain"}))

    assert spec.env == {"A": Secret(name), "B": "plain"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "x" * 65, "a\n", "a b"])
def test_a_secret_whose_name_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(_spec(env={"A": {"secret": name}}))

    assert refused.value.pointer == "/spec/env/A/secret"


def test_arguments_that_no_system_passes_are_refused() -> None:
    with pytest.raises(Invalid) as refused:
        check(_spec(argv=["true", *["x" * 100_000] * 11]))

    assert refused.value.limit == 1_000_000


def test_what_is_brought_out_depends_on_the_end() -> None:
    spec = _spec(
        stage_out=[
            {"from": "result", "to": "a"},
            {"from": "log", "to": "b", "when": "always"},
        ]
    )

    assert [each.source for each in spec.brings_out(succeeded=True)] == ["result", "log"]
    assert [each.source for each in spec.brings_out(succeeded=False)] == ["log"]


@pytest.mark.parametrize(
    ("clean_up", "kept"),
    [({}, ("stdout", "stderr")), ({"keep": []}, ()), ({"keep": ["*.log"]}, ("*.log",))],
)
def test_output_outlives_the_clean_up_unless_it_is_said_otherwise(
    clean_up: dict[str, Any], kept: tuple[str, ...]
) -> None:
    assert _spec(clean_up=clean_up).kept() == kept


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"stage_in": [{"from": "a"}, {"from": "../b"}]}, "/spec/stage_in/1/from"),
        ({"stage_in": [{"from": "a", "to": "b*"}]}, "/spec/stage_in/0/to"),
        ({"stage_out": [{"from": "a", "to": "b?"}]}, "/spec/stage_out/0/to"),
        ({"stage_out": [{"from": "~x", "to": "b"}]}, "/spec/stage_out/0/from"),
        ({"directory": "file:///data/*"}, "/spec/directory"),
        ({"stdout": "a//b"}, "/spec/stdout"),
        ({"stderr": "./a"}, "/spec/stderr"),
    ],
)
def test_a_path_that_cannot_be_meant_well_is_refused(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(_spec(**fields))

    assert (refused.value.pointer, refused.value.status) == (pointer, 422)


@pytest.mark.parametrize(
    "fields",
    [
        {"stage_in": [{"from": "file:///data/a%20b/*.txt", "to": "in/"}]},
        {"stage_in": [{"from": "deep/**/x.csv"}]},
        {"stage_in": [{"from": "a", "sha256": "0" * 64}]},
        {"stage_out": [{"from": "out/*.csv", "to": "file:///data/results/"}]},
        {"directory": "file:///data/project"},
    ],
)
def test_files_are_named_by_uris_patterns_and_relative_paths(fields: dict[str, Any]) -> None:
    spec = _spec(**fields)

    assert check(spec) is spec
