"""No batch system at all: the shim itself starts, shows and ends what runs on a host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.schemas.errors import Unavailable

_NONE = "-"
_MOST_DIGITS = 20


class LocalBatch:
    """Commands of the shim, and what they print."""

    name = "local"

    def submit_argv(self, launch: Launch) -> list[str]:
        """Return the command that starts an attempt."""
        limits = launch.resources
        return [
            *_shim(launch, "start"),
            *(launch.control, launch.work, launch.stdout, launch.stderr),
            _hundredths(limits.walltime_s or 0),
            str((limits.memory_mb or 0) * 1024),
            _hundredths(launch.grace_s),
            str(-(-launch.file_bytes // 512)),
            str(launch.open_files),
            *(launch.run, "--", *launch.argv),
        ]

    def submit_stdin(self, launch: Launch, environment: Mapping[str, str]) -> bytes:
        """Return the environment, quoted so that a shell reads each value as it is."""
        del launch
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        return "".join(lines).encode(errors="surrogateescape")

    def parse_submitted(self, stdout: str) -> RunStatus:
        """Read what the start printed."""
        return _only(stdout)

    def status_argvs(self, launches: Sequence[Launch]) -> list[list[str]]:
        """Return the one command that looks all of them up."""
        if not launches:
            return []
        pairs = [text for each in launches for text in (each.run, each.control)]
        return [[*_shim(launches[0], "status"), *pairs]]

    def parse_statuses(self, stdouts: Sequence[str]) -> dict[str, RunStatus]:
        """Read a line for each attempt; one that cannot be read leaves its attempt unfound."""
        found = {}
        for line in (line for stdout in stdouts for line in stdout.splitlines()):
            # What one job has spoilt must not hide the others.
            with suppress(Unavailable):
                run, status = _parse(line)
                found[run] = status
        return found

    def cancel_argv(self, launch: Launch, cause: str) -> list[str]:
        """Return the command that ends an attempt, or keeps it from ever starting."""
        grace = _hundredths(launch.grace_s)
        return [*_shim(launch, "cancel"), launch.run, launch.control, grace, cause]

    def parse_cancelled(self, stdout: str) -> RunStatus:
        """Read what is found of it now."""
        return _only(stdout)


def _shim(launch: Launch, verb: str) -> list[str]:
    return ["/bin/sh", launch.shim, verb]


def _hundredths(seconds: float) -> str:
    """Write a time as the shim takes it; the least above nothing is one."""
    return str(max(1, round(seconds * 100)) if seconds > 0 else 0)


def _only(stdout: str) -> RunStatus:
    lines = stdout.splitlines()
    if len(lines) != 1:
        raise Unavailable(f"the shim printed {len(lines)} lines instead of one")
    return _parse(lines[0])[1]


def _parse(line: str) -> tuple[str, RunStatus]:
    run, *said = line.split() or [""]
    match said[:1], said[1:]:
        case ["running"], [pid, started]:
            return run, RunStatus(state="running", pid=_number(pid), started=_number(started))
        case ["ended"], [code, signal, cause, detail]:
            return run, RunStatus(
                state="ended",
                exit_code=_number(code),
                signal=None if signal == _NONE else _signal(signal),
                cause=None if cause == _NONE else cause,
                detail=None if detail == _NONE else detail,
            )
        case ["absent"], []:
            return run, RunStatus(state="absent")
        case ["gone"], []:
            return run, RunStatus(state="gone")
        case ["burned"], [taker]:
            return run, RunStatus(state="burned", detail=taker)
        case ["refused"], [why]:
            return run, RunStatus(state="absent", cause="could_not_start", detail=why)
        case _:
            raise Unavailable(f"the shim printed something unexpected: {line[:200]!r}")


def _number(text: str) -> int:
    # As many digits as any number of the kernel has.
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise Unavailable(f"the shim printed {text[:40]!r} instead of a number")
    return int(text)


def _signal(name: str) -> str:
    return f"SIG{name}" if not name.isdigit() else name
