"""Whatever a user can meet is in the reference: settings, errors, metrics, events, routes."""

from __future__ import annotations

import ast
import re
from typing import Final

import pytest
from msgspec import Struct, structs

from jobwire.actors.dialects import registry
from jobwire.actors.operations.job_creation import JobRequest
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.schemas import errors, specs
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.lifecycle import CREATE, RESERVED
from jobwire.schemas.lifecycles import BUILT_IN
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.specs import Cause
from tests.architecture.sources import ROOT, modules

_REFERENCE: Final = ROOT / "docs" / "reference"


def _settings(record: type[Struct], prefix: str = "") -> list[str]:
    """Return the names of all settings; one in a table has its table's name before it."""
    return [
        name
        for field in structs.fields(record)
        for name in (
            _settings(field.type, f"{prefix}{field.name}.")
            if isinstance(field.type, type) and issubclass(field.type, Struct)
            else [f"{prefix}{field.name}"]
        )
    ]


_SETTINGS = [
    *_settings(Settings),
    *(
        name
        for dialect in registry.foreign_names()
        for name in _settings(registry.plugin(dialect).settings, f"dialects.{dialect}.")
    ),
]
_SETTINGS.remove("dialects")
#: Records that say what a job is asked to be.
_ASKED: list[type[Struct]] = [
    JobRequest,
    Callback,
    *(each for each in vars(specs).values() if isinstance(each, type) and issubclass(each, Struct)),
]
_METRICS = sorted(Telemetry().registry._names_to_collectors)
#: The same as they are shown: counters by their totals, the others by their own names.
_FAMILIES = sorted(
    f"{family.name}_total" if family.type == "counter" else family.name
    for family in Telemetry().registry.collect()
)
_EVENTS = sorted({CREATE, *RESERVED, *(e for table in BUILT_IN.values() for e in table.events)})
#: Of the errors that a running service answers with; a misconfigured one does not run.
_DEFAULT_CODES = {
    name: kind.default_code
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, JobwireError)
    and kind not in (JobwireError, errors.Misconfigured)
}


#: What these raise never travels over HTTP, or has just done so; what workers meet becomes a job's
#: cause and detail.
_NOT_HTTP = (
    "actors/batch_systems/",
    "actors/cli/",
    "actors/client/",
    "actors/hosts/",
    "actors/notifier/",
    "actors/runtime/secrets.py",
    "actors/stager/",
    "actors/submitter/",
    "actors/stores/sqlite/backup.py",
    "actors/stores/sqlite/export.py",
    "actors/stores/mongodb/importer.py",
    "schemas/errors.py",
    "schemas/problems.py",
)


def _codes() -> set[str]:
    """Find the code of every error that a request can be answered with."""
    codes = {JobwireError.default_code}
    for module in modules("actors", "schemas"):
        if not module.path.startswith(_NOT_HTTP):
            codes |= {code for node in ast.walk(module.tree) if (code := _code_of(node))}
    return codes


def _code_of(node: ast.AST) -> str | None:
    """Return the code that a call makes an error with: the one it names, or its kind's own."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return None
    for keyword in node.keywords:
        if keyword.arg == "code":
            named = keyword.value
            constant = isinstance(named, ast.Constant) and isinstance(named.value, str)
            return str(ast.literal_eval(named)) if constant else None
    return _DEFAULT_CODES.get(node.func.id)


_CODES = sorted(_codes())


#: The page that says what each metric tells and when to be alarmed.
_OPERATE = (ROOT / "docs" / "how-to" / "operate.md").read_text()


def _page(name: str) -> str:
    return (_REFERENCE / f"{name}.md").read_text()


@pytest.mark.parametrize("setting", _SETTINGS)
def test_a_setting_is_in_the_reference(setting: str) -> None:
    variable = "JOBWIRE_" + setting.upper().replace(".", "__")

    assert f"| `{setting}` | `{variable}` |" in _page("settings")


@pytest.mark.parametrize("setting", _SETTINGS)
def test_a_setting_is_looked_at_by_something(setting: str) -> None:
    users = [
        module.path
        for module in modules("actors")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == setting.rpartition(".")[2]
    ]

    assert users


@pytest.mark.parametrize("code", _CODES)
def test_an_error_code_is_in_the_reference(code: str) -> None:
    assert f"`{code}`" in _page("errors")


@pytest.mark.parametrize("metric", [name for name in _METRICS if not name.endswith("_created")])
def test_a_metric_is_in_the_reference(metric: str) -> None:
    page = _page("metrics")

    stem = metric.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
    assert f"`{metric}`" in page or f"`{stem}`" in page or f"`{metric}_total`" in page


@pytest.mark.parametrize("metric", _FAMILIES)
def test_a_metric_has_its_meaning_and_its_alarm_in_the_page_for_operators(metric: str) -> None:
    row = re.search(rf"^\| `{metric}` \|(.+)\|(.+)\|$", _OPERATE, re.MULTILINE)

    assert row is not None
    assert all(cell.strip() for cell in row.groups())


def test_the_page_for_operators_names_no_metric_that_there_is_not() -> None:
    named = set(re.findall(r"\bjobwire_[a-z_]+", _OPERATE))

    stems = ("", "_bucket", "_sum", "_count")
    assert named <= {f"{family}{stem}" for family in _FAMILIES for stem in stems}


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_is_in_the_reference(reason: str) -> None:
    assert f"`{reason}`" in _page("events")


@pytest.mark.parametrize(
    "field",
    sorted({field.encode_name for record in _ASKED for field in structs.fields(record)}),
)
def test_a_field_of_what_a_job_is_asked_to_be_is_in_the_reference(field: str) -> None:
    assert f"| `{field}` |" in _page("jobs")


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_is_in_the_reference_and_explained(cause: str) -> None:
    explained = (ROOT / "docs" / "explanation" / "retries-and-causes.md").read_text()

    assert f"| `{cause}` |" in _page("jobs")
    assert f"`{cause}`" in explained


@pytest.mark.parametrize("state", list(BUILT_IN["execution"].states))
def test_a_state_of_a_job_that_runs_here_is_explained(state: str) -> None:
    assert f"| **{state}** |" in _page("jobs")


@pytest.mark.parametrize("event", _EVENTS)
def test_an_event_of_a_built_in_lifecycle_is_in_the_reference(event: str) -> None:
    assert f"`{event}`" in _page("events") + _page("lifecycles")


def test_the_records_of_a_spec_are_found() -> None:
    assert {specs.Spec, specs.StageIn, specs.Retries} <= set(_ASKED)
