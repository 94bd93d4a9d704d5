"""What `jobwire show` says of a job that the service runs: what it is asked, how it went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobwire.actors.cli.job_end import in_words
from jobwire.actors.cli.output import clean, duration
from jobwire.schemas.specs import Resources, Retries, Secret, Spec
from jobwire.schemas.views import CallbackView, FullJobView

Fact = tuple[str, str | None]

#: Most characters of a command, and most files of a list.
_MOST_COMMAND: Final = 2_000
_MOST_FILES: Final = 8


def run_facts(job: FullJobView) -> Iterator[Fact]:
    """Yield the facts that only a job with a spec has; of others the cause alone."""
    spec = job.spec
    if spec is None:
        yield "cause", job.cause
        return
    yield "command", _command(spec)
    yield "attempt", _attempt(job, spec.retries)
    yield "exit code", None if job.exit_code is None else str(job.exit_code)
    yield "signal", job.signal
    yield "cause", job.cause
    yield "why", in_words(job, spec)
    yield "may use", _resources(spec.resources)
    yield "variables", _variables(spec)
    yield "directory", spec.directory
    yield "in", _files(f"{each.source} > {each.target or '.'}" for each in spec.stage_in)
    yield "out", _files(f"{each.source} > {each.target}" for each in spec.stage_out)
    yield "output", f"{spec.stdout}, {spec.stderr}  (jobwire logs {job.id})"
    yield "retry of", job.retry_of


def callback_fact(callback: CallbackView) -> str:
    """Say whom a job tells of what."""
    what = (*callback.states, *callback.outcomes, *callback.events)
    return f"{callback.url}  of {', '.join(what) or 'every change of state'}"


def _command(spec: Spec) -> str:
    text = clean(spec.invocation.shown())
    return text if len(text) <= _MOST_COMMAND else f"{text[:_MOST_COMMAND]}…"


def _attempt(job: FullJobView, retries: Retries) -> str | None:
    if retries.max == 0 and job.attempt == 1:
        return None
    return f"{job.attempt} of at most {retries.max + 1}"


def _resources(resources: Resources) -> str | None:
    parts = (
        f"{resources.cores} cores" if resources.cores > 1 else None,
        f"{resources.memory_mb:,} MiB" if resources.memory_mb else None,
        duration(resources.walltime_s) if resources.walltime_s else None,
    )
    return ", ".join(filter(None, parts)) or None


def _variables(spec: Spec) -> str | None:
    """Name the variables; a value may be long, and a secret is not known here."""
    names = (
        f"{name} (secret {value.secret})" if isinstance(value, Secret) else name
        for name, value in spec.env.items()
    )
    return ", ".join(names) or None


def _files(files: Iterator[str]) -> str | None:
    names = list(files)
    more = f" and {len(names) - _MOST_FILES} more" if len(names) > _MOST_FILES else ""
    return (", ".join(names[:_MOST_FILES]) + more) or None
