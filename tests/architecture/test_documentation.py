"""Whatever a user can meet is in the reference: settings, errors, metrics, events, routes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from actors.runtime.folder import DataFolder
from actors.runtime.settings import Limits, Settings
from actors.runtime.telemetry import Telemetry
from actors.system import System
from schemas import errors
from schemas.errors import JobwireError
from schemas.lifecycle import CREATE, RESERVED
from schemas.lifecycles import BUILT_IN
from schemas.outcomes import Reason
from tests.architecture.sources import ROOT, modules

_REFERENCE: Final = ROOT / "docs" / "reference"

_SETTINGS = [
    *(field.name for field in structs.fields(Settings)),
    *(field.name for field in structs.fields(Limits)),
]
_METRICS = sorted(Telemetry().registry._names_to_collectors)
_EVENTS = sorted({CREATE, *RESERVED, *(e for table in BUILT_IN.values() for e in table.events)})
#: Of the errors that a running service answers with; a misconfigured one does not run.
_DEFAULT_CODES = {
    name: kind.default_code
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, JobwireError)
    and kind not in (JobwireError, errors.Misconfigured)
}


#: What these raise never travels over HTTP, or has just done so.
_NOT_HTTP = (
    "actors/cli/",
    "actors/client/",
    "actors/stores/sqlite/backup.py",
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
    """Give the code that a call makes an error with: the one it names, or its kind's own."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return None
    for keyword in node.keywords:
        if keyword.arg == "code":
            named = keyword.value
            constant = isinstance(named, ast.Constant) and isinstance(named.value, str)
            return str(ast.literal_eval(named)) if constant else None
    return _DEFAULT_CODES.get(node.func.id)


_CODES = sorted(_codes())


def _page(name: str) -> str:
    return (_REFERENCE / f"{name}.md").read_text()


@pytest.mark.parametrize("setting", [name for name in _SETTINGS if name != "limits"])
def test_a_setting_is_in_the_reference(setting: str) -> None:
    assert f"`{setting}`" in _page("settings") or f".{setting}`" in _page("settings")


@pytest.mark.parametrize("setting", [name for name in _SETTINGS if name != "limits"])
def test_a_setting_is_looked_at_by_something(setting: str) -> None:
    users = [
        module.path
        for module in modules("actors")
        if module.path != "actors/runtime/settings.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == setting
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


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_is_in_the_reference(reason: str) -> None:
    assert f"`{reason}`" in _page("events")


@pytest.mark.parametrize("event", _EVENTS)
def test_an_event_of_a_built_in_lifecycle_is_in_the_reference(event: str) -> None:
    assert f"`{event}`" in _page("events") + _page("lifecycles")


def test_every_route_is_in_the_reference(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.claim()
    app = System(Settings(port=0), folder)._gateway._runner.app
    folder.release()
    page = _page("http")

    missing = [
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None
        and route.method != "HEAD"
        and f"{route.method} {route.resource.canonical}" not in page
    ]

    assert missing == []
