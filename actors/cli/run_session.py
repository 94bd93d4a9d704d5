"""Runs one job in the foreground: submits it, shows its progress and output, waits for its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import msgspec
from rich.text import Text

from jobwire.actors.cli.callbacks import show_secrets
from jobwire.actors.cli.job_end import CANCELLED, exit_code, in_words
from jobwire.actors.cli.job_progress import JobProgress
from jobwire.actors.cli.output import Output, clean, duration
from jobwire.actors.cli.output_follower import Write, follow_output
from jobwire.actors.cli.progress import progress_of
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.cli.status_line import StatusLine
from jobwire.actors.client import Client
from jobwire.schemas.errors import Conflict, NotFound, Unavailable
from jobwire.schemas.views import CreatedView, EntryView, FullJobView

_FRAME_S: Final = 0.1
_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
#: Pause before a cancel that did not reach the service is sent again.
_AGAIN_S: Final = 1.0
#: How long a second Ctrl-C waits for the answer to the first.
_LEAVE_S: Final = 1.0

_encode = msgspec.json.Encoder().encode


class RunSession:
    """One job that runs in the foreground."""

    def __init__(self, jobwire: Client, output: Output, *, verbose: bool) -> None:
        """Prepare; no request is sent yet."""
        self._jobwire = jobwire
        self._output = output
        self._verbose = verbose
        self._strip = StatusLine(is_wanted=not output.wants_json)
        self._styles = StateStyles()
        self._job_progress = JobProgress()
        self._began = datetime.now(UTC)
        self._progress = ""
        self._cancel = asyncio.Event()
        self._is_cancelled = False
        self._leaves = False
        self._id = ""
        self._stdout = self._writer(sys.stdout.buffer)

    async def run(self, request: dict[str, Any], idempotency_key: str | None) -> int:
        """
        Create the job, show what it does until it has ended, and return the exit code.

        Raises:
            JobwireError: it could not be made, or was deleted meanwhile.

        """
        with self._signals():
            made = await self._jobwire.submit(request, idempotency_key=idempotency_key)
            self._id = made.id
            self._introduce(made, held=bool(request.get("hold")))
            await self._attend()
        ended = await self._jobwire.job(made.id)
        if not self._output.wants_json:
            await self._conclude(ended)
        return exit_code(ended)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Cancel the job at the first Ctrl-C, also one that comes before there is a job."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._interrupt)
        if self._strip.is_shown:
            self._output.divert(self._strip.say_soon)
        try:
            yield
        finally:
            self._output.divert(None)
            for each in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(each)

    def _interrupt(self) -> None:
        if not self._cancel.is_set():
            self._cancel.set()
            self._output.note("cancelling the job; press Ctrl-C again to leave at once")
        elif self._is_cancelled or self._leaves:
            self._leave()
        else:
            # The second one came before the answer to the first: a moment more, and what is said
            # of the cancel is true.
            self._leaves = True
            asyncio.get_running_loop().call_later(_LEAVE_S, self._leave)

    def _leave(self) -> None:
        self._output.divert(None)
        if self._is_cancelled:
            said = f"left; the cancel goes on: jobwire show {self._id}"
        elif self._id:
            said = f"left before the cancel was answered; repeat it: jobwire cancel {self._id}"
        else:
            said = "left before an answer; the job may have been created: jobwire ls"
        self._output.note(f"\n{said}" if self._strip.is_shown else said)
        # At once, also where a thread is stuck in writing to a reader that does not read.
        os._exit(CANCELLED)

    async def _attend(self) -> None:
        """Return when the job has ended and all of its output is here."""
        async with asyncio.TaskGroup() as tasks:
            aside = [tasks.create_task(each) for each in (self._cancel_in_time(), self._animate())]
            try:
                async with asyncio.TaskGroup() as work:
                    work.create_task(
                        self._job_progress.follow(self._jobwire, self._id, self._show_entry)
                    )
                    if not self._output.wants_json:
                        work.create_task(self._follow_files())
            finally:
                for task in aside:
                    task.cancel()
                await self._strip.close()

    async def _cancel_in_time(self) -> None:
        await self._cancel.wait()
        while not self._is_cancelled:
            try:
                await self._jobwire.cancel(self._id)
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)
                continue
            except (Conflict, NotFound):
                pass  # it has ended by itself
            self._is_cancelled = True
        if self._leaves:
            self._leave()

    async def _follow_files(self) -> None:
        spec = (await self._jobwire.job(self._id)).spec
        if spec is None:
            return
        files = {spec.stdout: self._stdout}
        files.setdefault(spec.stderr, self._writer(sys.stderr.buffer))
        async with asyncio.TaskGroup() as tasks:
            for path, write in files.items():
                tasks.create_task(
                    follow_output(self._jobwire, self._id, path, self._job_progress, write)
                )

    def _writer(self, stream: BinaryIO) -> Write:
        is_gone = False

        async def write(chunk: bytes) -> None:
            nonlocal is_gone
            if is_gone:
                return
            try:
                await self._strip.write(stream, chunk)
            except BrokenPipeError:
                # As in a shell's pipeline: what nobody reads any more is ended.
                is_gone = True
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
                self._cancel.set()

        return write

    async def _show_entry(self, entry: EntryView) -> None:
        if self._output.wants_json:
            await self._stdout(_encode(entry) + b"\n")
            return
        self._progress = progress_of(entry.data) if entry.name == "update" else ""
        if self._verbose and entry.applied and entry.name != "update":
            state = self._styles.text("execution", entry.state, entry.outcome)
            after = duration((entry.received - self._began).total_seconds())
            await self._strip.say(Text.assemble(state, (f"  {clean(entry.name)}  +{after}", "dim")))

    async def _animate(self) -> None:
        while True:
            await self._strip.draw(self._status())
            await asyncio.sleep(_FRAME_S)

    def _status(self) -> Text:
        spent_s = (datetime.now(UTC) - self._began).total_seconds()
        sign = _SPINNER[int(spent_s / _FRAME_S) % len(_SPINNER)]
        last, attempt = self._job_progress.last, self._job_progress.attempt
        state = (
            self._styles.text("execution", last.state, last.outcome) if last else Text("creating")
        )
        parts = (
            f"attempt {attempt}" if attempt > 1 else "",
            duration(spent_s),
            self._progress,
            "cancel requested" if self._cancel.is_set() else "Ctrl-C cancels",
            self._id,
        )
        return Text.assemble(
            (f"{sign} ", "dim"), state, ("  " + "  ".join(filter(None, parts)), "dim")
        )

    def _introduce(self, made: CreatedView, *, held: bool) -> None:
        if self._output.wants_json:
            return
        if self._verbose:
            self._output.note(f"job {made.id}")
        if self._verbose or self._strip.is_shown:
            show_secrets(self._output, made.callbacks)
        if held:
            self._output.note(f"held; start it with `jobwire release {made.id}`")

    async def _conclude(self, ended: FullJobView) -> None:
        """Print how it ended: always at a terminal, elsewhere what its exit code does not show."""
        why = in_words(ended, ended.spec)
        if self._strip.is_terminal or self._verbose:
            spent = duration((ended.updated - ended.created).total_seconds())
            state = self._styles.text(ended.lifecycle, ended.state, ended.outcome)
            said = f"  {why}" if why else ""
            await self._strip.say(Text.assemble(state, said, (f"  {spent}  {ended.id}", "dim")))
        elif why and ended.cause != "exit_code":
            await self._strip.say(Text(f"jobwire: {ended.state}: {why}"))
