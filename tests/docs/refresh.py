"""
Writes what commands print into pages that show something else.

    python -m tests.docs.refresh docs/tutorial.md ...
"""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.support.mongodb import MongoServer
from tests.support.rabbitmq import RabbitServer

from .likeness import as_seen, is_like
from .page import FENCE, ROOT, Block, Page, Step, steps
from .shell import Shell


def refresh(page: Page) -> None:
    """Follow a page and write down what its commands print, where it is not alike."""
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        shell = Shell(Path(home), _servers(page, stack))
        try:
            shell.begin(page)
            text = FENCE.sub(lambda match: _block(shell, match), page.text)
        finally:
            shell.close()
    page.file.write_text(text)


def _servers(page: Page, stack: ExitStack) -> dict[str, str]:
    """Start the servers that a page names; return each URL that it shows with the real one."""
    named = page.servers()
    return {url: _server(fixture, stack) for url, fixture in named.items()}


def _server(fixture: str, stack: ExitStack) -> str:
    server = RabbitServer() if fixture == "broker_url" else MongoServer()
    stack.callback(server.close)
    server.start()
    return server.url if isinstance(server, RabbitServer) else server.database()


def _block(shell: Shell, match: re.Match[str]) -> str:
    kind, text = match["kind"], match["text"]
    if kind == "sh":
        shell.run(text)
    elif kind == "python":
        shell.run_python(text)
    elif kind == "console":
        shown = "".join(_step(shell, step) for step in steps(Block(kind, text, 0)))
        return f"```console\n{shown}```"
    return match[0]


def _step(shell: Shell, step: Step) -> str:
    printed, _ = shell.run(step.command)
    shown = step.shown if is_like(step.shown, printed) else as_seen(printed)
    lines = [line.rstrip() for line in shown.rstrip().splitlines()]
    command = "$ " + step.command.replace("\n", "\n> ")
    return "\n".join([command, *lines]) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        refresh(Page(ROOT / name))
