"""No batch system at all: the shim itself starts, shows and ends what runs on a host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.hosts.base import Completed
from jobwire.schemas.errors import Unavailable

_NONE = "-"
_MOST_DIGITS = 20
#: Attempts that one command looks up.
_MOST = 200


class LocalBatch:
    """Commands of the shim, and what they print."""

    name = "local"
    has_queue = False

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

    def parse_submitted(self, done: Completed) -> RunStatus:
        """Read what the start printed."""
        return _only(done)

    def status_argvs(self, launches: Sequence[Launch]) -> list[list[str]]:
        """Return the commands that look them up, each as many as its arguments have room for."""
        return [
            [
                *_shim(some[0], "status"),
                *(text for each in some for text in (each.run, each.control)),
            ]
            for some in (launches[at : at + _MOST] for at in range(0, len(launches), _MOST))
        ]

    def parse_statuses(
        self, dones: Sequence[Completed], launches: Sequence[Launch]
    ) -> dict[str, RunStatus]:
        """Read a line for each attempt; one that cannot be read leaves its attempt unfound."""
        del launches
        found = {}
        for line in (line for done in dones for line in done.stdout.splitlines()):
            # What one job has spoilt must not hide the others.
            with suppress(Unavailable):
                run, status = _parse(line)
                found[run] = status
        return found

    def cancel_argvs(self, launch: Launch, cause: str) -> list[list[str]]:
        """Return the command that ends an attempt, verified, or keeps it from ever starting."""
        grace = _hundredths(launch.grace_s)
        return [[*_shim(launch, "cancel"), launch.run, launch.control, grace, cause]]

    def parse_cancelled(self, dones: Sequence[Completed]) -> RunStatus:
        """Read what is found of it now that nothing of it is alive."""
        return _only(dones[-1])


def _shim(launch: Launch, verb: str) -> list[str]:
    return ["/bin/sh", launch.shim, verb]


def _hundredths(seconds: float) -> str:
    """Write a time as the shim takes it; the least above nothing is one."""
    return str(max(1, round(seconds * 100)) if seconds > 0 else 0)


def _only(done: Completed) -> RunStatus:
    lines = done.stdout.splitlines()
    if len(lines) != 1:
        words = f"exit code {done.exit_code}, {done.stderr.strip()[:200]!r}"
        raise Unavailable(f"the shim printed {len(lines)} lines instead of one ({words})")
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
