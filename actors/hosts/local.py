"""The machine that the service stands on."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from jobwire.actors.filesystems.base import FileSystem
from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.hosts.base import Completed
from jobwire.actors.runtime.settings import SiteSettings
from jobwire.schemas.errors import Unavailable

#: What a command finds in its environment, unless it is given another one.
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
#: Most of an output that is read.
_MOST_OUTPUT = 1_048_576
_STDERR = 2
_INIT = 1
#: How long an orphan may stay a zombie.
_ORPHANS_S = 1.0
#: The commands that somebody waits for, of all hosts in this process.
_commands: set[int] = set()
#: Signals that this process may ignore, under `nohup` for one, and a command must not.
_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class LocalHost:
    """Runs commands as the service's own user, in sessions of their own."""

    def __init__(self, folder: Path) -> None:
        """Serve a folder of sandboxes."""
        root = folder.absolute()
        self.files: FileSystem = FileTree(root)
        self.root = str(root)
        self.environment: Mapping[str, str] = _ENVIRONMENT | _user()
        self._reaping: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, settings: SiteSettings, folder: Path) -> Self:
        """Make the host of a site; see `Host.of`."""
        return cls(Path(settings.folder or folder))

    async def open(self) -> None:
        """Make the folder; keep what this process was handed open for itself."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)  # noqa: PTH103 - as quick as it gets
        _keep_descriptors()
        if os.getpid() == _INIT:
            self._own(_reap_orphans())

    async def close(self) -> None:
        """Wait for nothing any more; what runs has its own session, and runs on."""
        await asyncio.sleep(0)  # what has just been begun looks once
        for task in self._reaping:
            task.cancel()
        await asyncio.gather(*self._reaping, return_exceptions=True)

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Completed:
        """Run a command to its end; see `Host.run`."""
        # Memory in the place of pipes: nothing has to be read while the command runs, and a
        # secret on standard input is never on a disk.
        with _Memory(stdin) as given, _Memory() as out, _Memory() as err:
            streams = (given.descriptor, out.descriptor, err.descriptor)
            pid = _spawn(argv, cwd, _ENVIRONMENT if env is None else env, streams)
            _commands.add(pid)
            try:
                async with asyncio.timeout(timeout_s):
                    await _ended(pid)
            except TimeoutError as error:
                detail = f"{argv[0]} did not end within {timeout_s:g} s"
                raise Unavailable(detail) from error
            finally:
                exit_code = self._reap(pid)
            return Completed(exit_code, out.text(), err.text())

    async def gone(self, pid: int, started: int) -> None:
        """Return when a process is gone; see `Host.gone`."""
        await _ended(pid, started)

    def _reap(self, pid: int) -> int:
        """Return the exit code of a command; one that has not ended is killed."""
        exit_code = _exit_code(pid)
        if exit_code is not None:
            return exit_code
        os.kill(pid, signal.SIGKILL)
        # One that waits for a disk is not killed before the disk answers.
        self._own(_reap_later(pid))
        return -signal.SIGKILL

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)


def _user() -> dict[str, str]:
    """Return the variables that say who runs; in a container that user may have no name."""
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return {"HOME": "/"}
    return {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


class _Memory:
    """A file without a name, in memory."""

    def __init__(self, content: bytes = b"") -> None:
        self.descriptor = os.memfd_create("jobwire", os.MFD_CLOEXEC)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def text(self) -> str:
        return os.pread(self.descriptor, _MOST_OUTPUT, 0).decode(errors="replace")


def _keep_descriptors() -> None:
    """
    Let no command inherit the descriptors that the parent of this process had open.

    What the process opens itself is closed for commands anyway.
    """
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, no paths
        with suppress(OSError):  # the one of this listing
            if int(name) > _STDERR:
                os.set_inheritable(int(name), False)  # noqa: FBT003


def _spawn(
    argv: Sequence[str], cwd: str | None, env: Mapping[str, str], streams: Sequence[int]
) -> int:
    """Start a command in a session of its own, with every signal as programs expect it."""
    words = (*argv,) if cwd is None else ("/bin/sh", "-c", 'cd "$0" && exec "$@"', cwd, *argv)
    program = shutil.which(words[0], path=_ENVIRONMENT["PATH"])
    try:
        return os.posix_spawn(
            program or words[0],
            words,
            env,
            file_actions=[(os.POSIX_SPAWN_DUP2, each, at) for at, each in enumerate(streams)],
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
    except OSError as error:
        raise Unavailable(f"cannot run {argv[0]}: {error.strerror}") from error


def _exit_code(pid: int) -> int | None:
    """Return the exit code of a command, once; None: it has not ended."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if not done:
        return None
    _commands.discard(pid)
    return os.waitstatus_to_exitcode(status)


async def _reap_later(pid: int) -> None:
    try:
        await _ended(pid)
    finally:
        _exit_code(pid)
        _commands.discard(pid)


async def _reap_orphans() -> None:
    """
    Reap what others left to this process, which the kernel made their parent.

    In a container without an init of its own, every shim that has ended would stay a zombie.
    """
    while True:
        await asyncio.sleep(_ORPHANS_S)
        while _reap_orphan():
            pass


def _reap_orphan() -> bool:
    with suppress(ChildProcessError):
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        # Callers that wait for a command come first.
        if found is not None and found.si_pid not in _commands:
            os.waitpid(found.si_pid, os.WNOHANG)
            return True
    return False


async def _ended(pid: int, started: int | None = None) -> None:
    """Return when a process has ended; at once if it is another one than was meant."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Asked only now: the descriptor keeps standing for the process that it was opened for.
        if started is not None and _start_of(pid) != started:
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


def _start_of(pid: int) -> int | None:
    """Return the start of a process in clock ticks after boot; None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name before the last bracket may hold blanks and brackets.
    return int(stat.rpartition(b") ")[2].split()[19])
