"""What `run` and `submit` ask for: their options, made into the body of `POST /v1/jobs` (pure)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click

from jobwire.actors.cli.callbacks import callback_option
from jobwire.actors.cli.jobs import JsonType
from jobwire.actors.cli.quantities import LengthType, MemoryType, StartType, read_length
from jobwire.schemas.specs import Cause

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_CLEAN: Final = ("always", "on_success", "never")

_OPTIONS: Final = (
    click.option("--name", help="A name for people."),
    click.option("--tag", "tags", multiple=True, help="A tag; may be repeated."),
    click.option(
        "--env",
        "-e",
        "variables",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="A variable; without =VALUE it is copied from your environment. No other one is.",
    ),
    click.option(
        "--secret",
        "secrets",
        multiple=True,
        metavar="NAME[=SECRET]",
        help="A variable whose value is a secret of the service, by name.",
    ),
    click.option(
        "--in",
        "stage_in",
        multiple=True,
        metavar="FROM[:TO]",
        help="A file, directory or pattern to copy in: a local path or a file: URI.",
    ),
    click.option(
        "--out",
        "stage_out",
        multiple=True,
        metavar="FROM:TO",
        help="A path in the job's directory to copy out after a success, and where to.",
    ),
    click.option(
        "--dir",
        "directory",
        metavar="URI",
        help="The base directory of paths in --in and --out; default: the current one.",
    ),
    click.option("--cores", type=click.IntRange(1), help="Number of cores; default: 1."),
    click.option("--memory", "memory_mb", type=MemoryType(), help="Most memory: 512M, 2G."),
    click.option("--walltime", "walltime_s", type=LengthType(), help="Longest run: 90s, 10m, 2h."),
    click.option("--retries", type=click.IntRange(0, 100), help="Number of further attempts."),
    click.option(
        "--retry-on",
        multiple=True,
        type=click.Choice([str(each) for each in Cause]),
        help="A cause to retry; may be repeated.",
    ),
    click.option(
        "--backoff", "backoff_s", type=LengthType(), help="Pause before the first further attempt."
    ),
    click.option(
        "--start-after",
        type=StartType(),
        help="Do not start before this time; 10m: in ten minutes.",
    ),
    click.option(
        "--priority",
        type=click.IntRange(-100, 100),
        help="Of your waiting jobs, higher ones start first.",
    ),
    click.option("--hold", is_flag=True, help="Do not start before `jobwire release`."),
    callback_option,
    click.option(
        "--clean",
        metavar="|".join(_CLEAN) + "[:TIME]",
        help="When the job's directory is removed, and how long after the end: always:7d.",
    ),
    click.option(
        "--keep",
        multiple=True,
        metavar="PATH",
        help="A path or pattern to keep after that, in addition to stdout and stderr.",
    ),
    click.option("--data", type=JsonType(), help="Data of the job: JSON, @file or @- ."),
    click.option("--idempotency-key", help="The same key returns the same job."),
)


def job_options(command: Decorated) -> Decorated:
    """Return a command the options that say what a job is to be."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Here:
    """Where the command was called: its directory and its environment."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Take both as they are now."""
        self.folder = folder
        self.environment = environment

    def address(self, text: str) -> str:
        """Return the URI of a path that starts from here; a URI stays one, and a final / too."""
        if _is_uri(text):
            return text
        # By the names only: what links mean is for the service to see to.
        path = os.path.normpath(self.folder / text).lstrip("/")
        slash = "/" if text.endswith("/") and path else ""
        return f"file:///{quote(path, safe='/*')}{slash}"


def request_of(
    asked: Mapping[str, Any],
    argv: Sequence[str],
    here: Here,
    written: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Make the body of a request of what was asked.

    Args:
        asked: the values of the options, by their names.
        argv: the command, empty where `written` has it.
        here: what relative paths start from, and where variables are taken from.
        written: a request that was written before: the options take the place of what it says.

    Raises:
        click.UsageError: an option is wrong.

    """
    request = dict(written or {})
    for name in ("name", "start_after", "priority", "data"):
        if asked[name] is not None:
            request[name] = asked[name]
    if asked["tags"]:
        request["tags"] = list(asked["tags"])
    if asked["hold"]:
        request["hold"] = True
    if asked["callbacks"]:
        request["callbacks"] = asked["callbacks"]
    spec = request.get("spec", {})
    if not isinstance(spec, dict):
        raise click.UsageError("spec must be an object")
    if made := _spec(asked, argv, here, spec):
        request["spec"] = made
    return request


def read_clean(text: str) -> dict[str, Any]:
    """Read `always|on_success|never[:TIME]`."""
    when, colon, after = text.partition(":")
    if when not in _CLEAN:
        raise click.UsageError(f"--clean: {when!r} is not one of {', '.join(_CLEAN)}")
    return {"when": when} | ({"after_s": _length("--clean", after)} if colon else {})


def read_stage_in(text: str, here: Here | None) -> dict[str, str]:
    """Read `FROM[:TO]`; without `here` a relative path stays one."""
    source, colon, target = text.rpartition(":")
    if not colon or not target or (_is_uri(text) and not _is_uri(source)):
        source, target = text.removesuffix(":"), ""
    if not source:
        raise click.UsageError(f"--in {text}: expected FROM[:TO], the file to copy in")
    made = {"from": here.address(source) if here else source}
    return made | ({"to": target} if target else {})


def read_stage_out(text: str, here: Here | None) -> dict[str, str]:
    """Read `FROM:TO`; without `here` a relative path stays one."""
    source, colon, target = text.partition(":")
    if not source or not colon or not target:
        raise click.UsageError(f"--out {text}: expected FROM:TO, the file to copy out and where to")
    return {"from": source, "to": here.address(target) if here else target}


def read_variable(text: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Read `NAME=VALUE`, or `NAME` for a variable of this environment."""
    name, equals, value = text.partition("=")
    if not equals and name not in environment:
        raise click.UsageError(
            f"--env {name}: your environment has no such variable; write {name}=VALUE"
        )
    return name, value if equals else environment[name]


def _spec(
    asked: Mapping[str, Any], argv: Sequence[str], here: Here, written: Mapping[str, Any]
) -> dict[str, Any]:
    spec = dict(written)
    if argv:
        spec["argv"] = [_text(each) for each in argv]
    base = None if asked["directory"] or "directory" in written else here
    if asked["directory"]:
        spec["directory"] = here.address(asked["directory"])
    if asked["stage_in"]:
        spec["stage_in"] = [read_stage_in(each, base) for each in asked["stage_in"]]
    if asked["stage_out"]:
        spec["stage_out"] = [read_stage_out(each, base) for each in asked["stage_out"]]
    variables = _variables(asked, here)
    for part, values in (
        ("env", variables),
        ("resources", _named(asked, "cores", "memory_mb", "walltime_s")),
        ("retries", _retries(asked)),
        ("clean_up", _clean_up(asked, spec)),
    ):
        if values:
            before = spec.get(part, {})
            if not isinstance(before, dict):
                raise click.UsageError(f"spec.{part} must be an object")
            spec[part] = before | values
    return spec


def _variables(asked: Mapping[str, Any], here: Here) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for each in asked["variables"]:
        name, value = read_variable(each, here.environment)
        made[name] = _text(value)
    for each in asked["secrets"]:
        name, _, secret = each.partition("=")
        made[name] = {"secret": secret or name}
    return made


def _retries(asked: Mapping[str, Any]) -> dict[str, Any]:
    made = _named(asked, "backoff_s")
    if asked["retries"] is not None:
        made["max"] = asked["retries"]
    if asked["retry_on"]:
        made["on"] = list(asked["retry_on"])
    return made


def _clean_up(asked: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    made = read_clean(asked["clean"]) if asked["clean"] else {}
    if asked["keep"]:
        # What is kept by default is named too: to keep more must not lose the output.
        output = (spec.get("stdout", "stdout"), spec.get("stderr", "stderr"))
        made["keep"] = list(dict.fromkeys((*output, *asked["keep"])))
    return made


def _named(asked: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: asked[name] for name in names if asked[name] is not None}


def _length(option: str, text: str) -> float:
    try:
        return read_length(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from error


def _text(value: str) -> str:
    """Return text that JSON can carry; bytes that are no UTF-8 cannot be sent."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        shown = value.encode(errors="replace").decode()
        raise click.UsageError(f"{shown!r} is not UTF-8, so it cannot be sent") from error
    return value


def _is_uri(text: str) -> bool:
    return "://" in text or text.startswith("file:")
