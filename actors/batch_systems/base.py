"""
The contract of a batch system: text in, text out. It never runs anything itself.

The submitter runs what a batch system writes through a host, and hands back what the commands
printed. Whatever the batch system is, the job itself runs under the same shim (`shim.sh`), so the
run-once latch and the exit code are found in the same place on every host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from jobwire.schemas.specs import Resources

RunState = Literal["absent", "waiting", "running", "ended", "gone", "burned"]
"""
`absent`: never started. `waiting`: the batch system has it. `running`: its process is there.
`ended`: the exit code is known. `gone`: it started, its process is not there any more, and it left
no exit code. `burned`: its latch was taken by a worker, so it can never start.
"""


class Launch(Struct, frozen=True, kw_only=True):
    """One attempt as a batch system must know it; all paths are absolute and on the host."""

    run: str
    """Names the attempt everywhere: `<job id>.<attempt>`."""
    shim: str
    control: str
    work: str
    stdout: str
    stderr: str
    argv: Sequence[str]
    resources: Resources
    grace_s: float
    file_bytes: int
    open_files: int


class RunStatus(Struct, frozen=True, kw_only=True):
    """What is found of one attempt."""

    state: RunState
    pid: int | None = None
    """Of the shim, which outlives the job's own process."""
    started: int | None = None
    """Its start in clock ticks after boot: tells it from a later process with the same id."""
    exit_code: int | None = None
    signal: str | None = None
    cause: str | None = None
    """Why the shim or a worker ended it, or could not start it, where that was so."""
    detail: str | None = None


class BatchSystem(Protocol):
    """How to start, look up and end an attempt; every verb is pure."""

    name: str

    def submit_argv(self, launch: Launch) -> list[str]:
        """Return the command that starts an attempt, once, however often it is run."""

    def submit_stdin(self, launch: Launch, environment: Mapping[str, str]) -> bytes:
        """Return what that command reads: the environment, which must not stand in an argument."""

    def parse_submitted(self, stdout: str) -> RunStatus:
        """Read what it printed."""

    def status_argvs(self, launches: Sequence[Launch]) -> list[list[str]]:
        """Return the commands that look attempts up, to be run in order."""

    def parse_statuses(self, stdouts: Sequence[str]) -> dict[str, RunStatus]:
        """Read what they printed: the attempts that they know, by `run`."""

    def cancel_argv(self, launch: Launch, cause: str) -> list[str]:
        """Return the command that ends an attempt, verified, or burns its latch."""

    def parse_cancelled(self, stdout: str) -> RunStatus:
        """Read what it printed: what is found of the attempt now that nothing of it is alive."""
