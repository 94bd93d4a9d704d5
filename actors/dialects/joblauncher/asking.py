"""From a request of a client to the job that is asked of the service (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from jobwire.actors.dialects.joblauncher.requests import NO_MAX_TIME, LaunchRequest
from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.actors.dialects.joblauncher.staging import staged
from jobwire.actors.operations.job_creation import JobRequest
from jobwire.schemas.codec import invalid
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.errors import Invalid, JobwireError, Misconfigured
from jobwire.schemas.specs import CleanUp, Resources, Spec

#: The tag by which the jobs of this dialect are found again.
TAG: Final = "joblauncher"
#: The launcher where none is set: the machine itself.
_LOCAL: Final = "local"
#: States that a receiver is notified of: the scheduler's own words change with these.
TOLD: Final = ("STAGED", "RUNNING", "FINISHED", "FAILED", "CANCELLED", "LOST")
_MINUTE_S: Final = 60
#: How long the directory of a job stays whose outputs are not all back: it holds the only copy.
_RESCUE_S: Final = 7.0 * 86_400
#: Outputs that are not in `poststaged`: standard output and standard error.
_PRINTED: Final = 2

_encode = msgspec.json.Encoder().encode

#: Where a field of the job comes from in the request.
_FIELDS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"^/spec/directory"), lambda _: "/jobdir"),
    (re.compile(r"^/spec/stage_in/(\d+).*"), lambda found: f"/prestaged/{found[1]}"),
    (re.compile(r"^/spec/stage_in$"), lambda _: "/prestaged"),
    (re.compile(r"^/spec/stage_out$"), lambda _: "/poststaged"),
    (re.compile(r"^/spec/stage_out/(\d+).*"), lambda found: _output(int(found[1]))),
    (re.compile(r"^/spec/argv/0$"), lambda _: "/executable"),
    (re.compile(r"^/spec/argv/(\d+)$"), lambda found: f"/arguments/{int(found[1]) - 1}"),
    (re.compile(r"^/spec/argv$"), lambda _: "/arguments"),
    (re.compile(r"^/spec/env/(.*)$"), lambda found: f"/environment/{found[1]}"),
    (re.compile(r"^/spec/site$"), lambda _: "/launcher"),
    (re.compile(r"^/spec/(stdout|stderr)$"), lambda found: f"/{found[1]}"),
    (re.compile(r"^/callbacks.*"), lambda _: "/status_callback_url"),
)


class Launchers:
    """The launchers of a configuration, each a site."""

    def __init__(self, settings: Joblauncher) -> None:
        """
        Read them.

        Raises:
            Misconfigured: the default is not one of them.

        """
        self._sites = settings.launchers or {_LOCAL: _LOCAL}
        self.default = settings.default_launcher or next(iter(self._sites))
        if self.default not in self._sites:
            detail = (
                f"setting: dialects.joblauncher.default_launcher = {self.default!r} is none of the"
                f" launchers: {', '.join(self._sites)}"
            )
            raise Misconfigured(detail)

    def site(self, launcher: str) -> str:
        """
        Return the site of a launcher.

        Raises:
            Invalid: there is no such launcher.

        """
        if launcher not in self._sites:
            detail = f"there is no launcher {launcher!r}; there is: {', '.join(self._sites)}"
            raise Invalid(detail, pointer="/launcher")
        return self._sites[launcher]


def job_request(request: LaunchRequest, launchers: Launchers, settings: Joblauncher) -> JobRequest:
    """
    Write what the service is asked for; the request itself is kept as the data of the job.

    Raises:
        Invalid: a field cannot be carried out; the pointer names it.

    """
    lists = staged(
        request.jobdir,
        prestaged=request.prestaged,
        poststaged=request.poststaged,
        printed=(request.stdout, request.stderr),
        keep_paths=settings.keep_paths,
    )
    try:
        spec = Spec(
            argv=(request.executable, *request.arguments),
            env=dict(request.environment),
            directory=lists.directory,
            needs_directory=True,
            stage_in=lists.inputs,
            stage_out=lists.outputs,
            stdout=request.stdout,
            stderr=request.stderr,
            resources=Resources(walltime_s=_run_s(request.max_time, settings.max_run_s)),
            clean_up=CleanUp(after_s=0, after_problem_s=_RESCUE_S, keep=()),
            site=launchers.site(request.launcher),
        )
        url = request.status_callback_url
        wanted = JobRequest(
            data=Raw(_encode(request)),
            tags=(TAG,),
            callbacks=(Callback(url=url, states=TOLD),) if url else (),
            spec=spec,
            start_within_s=settings.max_wait_s,
        )
        # What a record may hold is checked where a record is read.
        return msgspec.json.decode(_encode(wanted), type=JobRequest)
    except msgspec.ValidationError as error:
        raise in_own_words(invalid(error)) from error


def in_own_words(error: JobwireError) -> JobwireError:
    """Let an error point to the field that the client has sent."""
    for pattern, own in _FIELDS:
        if (found := pattern.match(error.pointer or "")) is not None:
            pointer, error.pointer = found.string, own(found)
            error.detail = error.detail.replace(f" at {pointer}", f" at {error.pointer}")
            break
    return error


def _output(index: int) -> str:
    return ("/stdout", "/stderr")[index] if index < _PRINTED else f"/poststaged/{index - _PRINTED}"


def _run_s(max_time: int, most_s: float) -> float:
    """Return the longest run in seconds of a `max_time` in minutes."""
    if max_time == NO_MAX_TIME:
        return most_s
    if max_time < 1 or max_time * _MINUTE_S > most_s:
        whole = f"whole minutes, and a job runs for {most_s:g} s at the most: the setting max_run_s"
        detail = f"max_time is {whole}; {NO_MAX_TIME} stands for the longest"
        raise Invalid(detail, pointer="/max_time")
    return max_time * _MINUTE_S
