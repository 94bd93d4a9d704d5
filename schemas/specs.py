"""
What a job that Jobwire runs is asked to be: what it runs, its surroundings, its files (pure).

Secrets are named, never written: their values are looked up when the job starts.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from jobwire.schemas.errors import Invalid
from jobwire.schemas.invocations import Argument, ArgumentVector, Argv, Invocation
from jobwire.schemas.paths import RelativePath, check_address, check_path, is_pattern

SiteName = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"(?#a lower-case letter, then such letters, digits, dashes and underscores)"
        r"^[a-z][a-z0-9_-]*(?!\n)$",
    ),
]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

#: Names that the service sets itself in a job's environment.
RESERVED_ENV = "JOBWIRE_"
#: Most bytes of all arguments and plain values together; Linux has about 2 MiB.
_COMMAND_BYTES = 1_000_000

_DAY_S = 86_400


class Cause(StrEnum):
    """Why an attempt of a job did not succeed."""

    EXIT_CODE = "exit_code"  # it ended with an exit code other than 0
    SIGNAL = "signal"  # a signal that the service did not send ended it
    WALLTIME = "walltime"  # it ran longer than `walltime_s`
    MEMORY = "memory"  # it used more than `memory_mb`
    COULD_NOT_START = "could_not_start"  # no such program, no space, a missing secret
    STAGING = "staging"  # a file could not be copied in or out; the detail names it
    INTERRUPTED = "interrupted"  # it is gone and left no exit code: its machine restarted
    CANCELLED = "cancelled"  # it was ended on request
    WAITED = "waited"  # it had not started within `start_within_s`


CauseWord = Annotated[str, Meta(extra_json_schema={"enum": [str(each) for each in Cause]})]
"""A `Cause`; in what is stored, perhaps the word of another release."""


class Secret(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that is read by its name when the job starts."""

    secret: str


class StageIn(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"source": "from", "target": "to"},
):
    """One file, directory or pattern that is copied into the job's directory before it starts."""

    source: Annotated[str, Meta(min_length=1, max_length=4096)]
    """A `file:` URI, or a path relative to the job's `directory`; may be a pattern."""
    target: RelativePath | None = None
    """Its path in the job's directory; default: its own name."""
    sha256: (
        Annotated[str, Meta(pattern=r"(?#64 lower-case hex digits)^[0-9a-f]{64}(?!\n)$")] | None
    ) = None
    """The digest that the file must have."""


class StageOut(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"source": "from", "target": "to"},
):
    """One file, directory or pattern that is copied out of the job's directory at its end."""

    source: RelativePath
    """A path in the job's directory; may be a pattern."""
    target: Annotated[str, Meta(min_length=1, max_length=4096)]
    """A `file:` URI, or a path relative to `directory`; a trailing `/` makes it a directory."""
    when: Literal["success", "always"] = "success"
    """`always`: also when the job failed."""
    optional: bool = False
    """Whether the job may succeed without it."""


class Resources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one attempt may use."""

    cores: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Cores of the site that it occupies."""
    memory_mb: Annotated[int, Meta(ge=1, le=2**30)] | None = None
    """Most memory (MiB) of all its processes together; a job that uses more is ended: `memory`."""
    walltime_s: Annotated[float, Meta(gt=0, le=365 * _DAY_S)] | None = None
    """Longest time it may run; a job that runs longer is ended: `walltime`."""


class Retries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether, when and why a failed attempt is followed by another one."""

    max: Annotated[int, Meta(ge=0, le=100)] = 0
    """Number of further attempts."""
    backoff_s: Annotated[float, Meta(ge=0, le=_DAY_S)] = 10.0
    """Pause before the first further attempt."""
    factor: Annotated[float, Meta(ge=1, le=10)] = 2.0
    """Factor by which each pause is longer than the one before, up to a day."""
    on: tuple[CauseWord, ...] = (
        Cause.EXIT_CODE,
        Cause.SIGNAL,
        Cause.COULD_NOT_START,
        Cause.STAGING,
    )
    """The causes that are retried."""


class CleanUp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When the job's directory is removed after its end, and what is kept."""

    when: Literal["always", "on_success", "never"] = "always"
    after_s: Annotated[float, Meta(ge=0, le=10 * 365 * _DAY_S)] = 7.0 * _DAY_S
    """How long after the end the directory is removed."""
    after_problem_s: Annotated[float, Meta(ge=0, le=10 * 365 * _DAY_S)] | None = None
    """The same if an output could not be copied out; default: `after_s`."""
    keep: Annotated[tuple[RelativePath, ...], Meta(max_length=100)] | None = None
    """Paths or patterns that are kept and stay readable; default: stdout and stderr."""


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a job runs, and everything that it needs for that."""

    argv: ArgumentVector
    """The program and its arguments."""
    env: Annotated[dict[str, Argument | Secret], Meta(max_length=1000)] = field(
        default_factory=dict
    )
    """Variables beside the few that every job has; nothing of the service's own is inherited."""
    directory: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    """A `file:` URI to which staging paths are relative; default: the owner's own folder."""
    needs_directory: bool = False
    """Whether `directory` must exist before the job starts, even if nothing is copied from it."""
    stage_in: Annotated[tuple[StageIn, ...], Meta(max_length=1000)] = ()
    stage_out: Annotated[tuple[StageOut, ...], Meta(max_length=1000)] = ()
    stdout: RelativePath = "stdout"
    stderr: RelativePath = "stderr"
    """The files in the job's directory that its output goes to; the same name joins the two."""
    resources: Resources = Resources()
    retries: Retries = Retries()
    clean_up: CleanUp = CleanUp()
    site: SiteName = "local"
    """The site on which it runs."""

    @property
    def invocation(self) -> Invocation:
        """What it runs, whichever field says so."""
        return Argv(self.argv)

    def kept(self) -> tuple[str, ...]:
        """Return the paths and patterns that outlive the clean-up."""
        keep = self.clean_up.keep
        return (self.stdout, self.stderr) if keep is None else keep

    def brings_in(self) -> bool:
        """Return whether something is to be done before the job can start."""
        return bool(self.stage_in) or self.needs_directory

    def brings_out(self, *, succeeded: bool) -> tuple[StageOut, ...]:
        """Return what is copied out after an attempt."""
        return tuple(each for each in self.stage_out if succeeded or each.when == "always")


def check(spec: Spec, pointer: str = "/spec") -> Spec:
    """
    Return the spec back when it can be carried out as far as it says itself.

    Raises:
        Invalid: the pointer names the field that is wrong.

    """
    _check_command(spec, pointer)
    for name in ("stdout", "stderr"):
        _check_plain(getattr(spec, name), f"{pointer}/{name}")
    if spec.directory is not None:
        _check_directory(spec.directory, f"{pointer}/directory")
    elif spec.needs_directory:
        detail = "needs_directory needs directory, which is missing"
        raise Invalid(detail, pointer=f"{pointer}/needs_directory")
    for index, each in enumerate(spec.stage_in):
        _check_stage_in(each, f"{pointer}/stage_in/{index}")
    for index, out in enumerate(spec.stage_out):
        _check_stage_out(out, f"{pointer}/stage_out/{index}")
    for index, cause in enumerate(spec.retries.on):
        if cause not in set(Cause):
            detail = f"there is no cause {cause!r}; expected one of: {', '.join(Cause)}"
            raise Invalid(detail, pointer=f"{pointer}/retries/on/{index}")
    for index, path in enumerate(spec.clean_up.keep or ()):
        check_path(path, f"{pointer}/clean_up/keep/{index}")
    return spec


def _check_command(spec: Spec, pointer: str) -> None:
    invocation = spec.invocation
    invocation.check(pointer)
    for name, value in spec.env.items():
        _check_variable(name, value, f"{pointer}/env/{name}")
    plain = [value for value in spec.env.values() if isinstance(value, str)]
    size = invocation.size_bytes() + sum(len(text.encode()) + 9 for text in (*spec.env, *plain))
    if size > _COMMAND_BYTES:
        detail = f"arguments and environment have {size} bytes, more than {_COMMAND_BYTES}"
        raise Invalid(detail, pointer=f"{pointer}/argv", limit=_COMMAND_BYTES)


def _check_variable(name: str, value: str | Secret, pointer: str) -> None:
    if _VARIABLE.fullmatch(name) is None:
        detail = "the name of a variable must be letters, digits and _, not beginning with a digit"
        raise Invalid(detail, pointer=pointer)
    if name.startswith(RESERVED_ENV):
        detail = f"variables that begin with {RESERVED_ENV} are reserved for the service"
        raise Invalid(detail, pointer=pointer)
    if isinstance(value, Secret):
        if _SECRET.fullmatch(value.secret) is None:
            detail = "the name of a secret must be at most 64 letters, digits, `_`, `.` and `-`"
            raise Invalid(detail, pointer=f"{pointer}/secret")
    elif "\0" in value:
        raise Invalid("the value of a variable must not contain NUL", pointer=pointer)


def _check_plain(path: str, pointer: str) -> None:
    if is_pattern(check_path(path, pointer)):
        raise Invalid(
            "a single file is needed here, not a pattern", pointer=pointer, code="bad_path"
        )


def _check_directory(text: str, pointer: str) -> None:
    address = check_address(text, pointer)
    if not address.is_absolute:
        detail = "directory must be a file: URI, such as file:///data/project"
        raise Invalid(detail, pointer=pointer, code="bad_path")
    if is_pattern(address.path):
        raise Invalid(
            "a single directory is needed here, not a pattern", pointer=pointer, code="bad_path"
        )


def _check_stage_in(each: StageIn, pointer: str) -> None:
    address = check_address(each.source, f"{pointer}/from")
    if each.target is not None:
        _check_plain(each.target.removesuffix("/"), f"{pointer}/to")
    if each.sha256 is not None and is_pattern(address.path):
        raise Invalid(
            "a digest is possible for one file, not for a pattern", pointer=f"{pointer}/sha256"
        )


def _check_stage_out(each: StageOut, pointer: str) -> None:
    check_path(each.source, f"{pointer}/from")
    target = check_address(each.target.removesuffix("/") or "/", f"{pointer}/to")
    if is_pattern(target.path):
        raise Invalid(
            "a single path is needed here, not a pattern", pointer=f"{pointer}/to", code="bad_path"
        )
