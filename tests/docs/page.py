"""A page of the documentation: its blocks of code and its links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent

#: A block of code.
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>[a-z]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: The URLs by which pages name a broker and a database, each with the fixture of a real one.
SERVERS = {
    "amqp://jobwire:PASSWORD@broker.example.org/jobwire": "broker_url",
    "mongodb://jobwire:PASSWORD@database.example.org/jobwire?replicaSet=jobwire": "database_url",
}
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)


#: Kinds of blocks that are run.
RUNNING = {"console", "sh", "python"}


class Block(NamedTuple):
    """A block of code: what it is written in, its text, and the line where it begins."""

    kind: str
    text: str
    line: int


class Step(NamedTuple):
    """One command of a console block, and what it is shown to print."""

    command: str
    shown: str


class Page:
    """One Markdown file."""

    def __init__(self, file: Path) -> None:
        """Read a file."""
        self.file = file
        self.name = str(file.relative_to(ROOT))
        self.text = file.read_text()

    def __repr__(self) -> str:
        """Return the file's name; it names the test."""
        return self.name

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of code in their order."""
        for match in FENCE.finditer(self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            indent = match["indent"]
            lines = [each.removeprefix(indent) for each in match["text"].splitlines(keepends=True)]
            yield Block(match["kind"], "".join(lines), line)

    def servers(self) -> dict[str, str]:
        """Return the URLs of servers that its commands name, each with its fixture."""
        texts = [block.text for block in self.blocks() if block.kind in RUNNING]
        return {
            url: fixture for url, fixture in SERVERS.items() if any(url in text for text in texts)
        }

    def links(self) -> Iterator[str]:
        """Yield the targets of the links outside the blocks of code."""
        for match in _LINK.finditer(FENCE.sub("", self.text)):
            yield match[1]

    def anchors(self) -> set[str]:
        """Return the names by which a link can point at a heading of this page."""
        headings = _HEADING.findall(FENCE.sub("", self.text))
        return {
            re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            for heading in headings
        }


def pages() -> list[Page]:
    """Return the README, the other pages at the top, and everything below `docs`."""
    return [Page(file) for file in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))]


def steps(block: Block) -> Iterator[Step]:
    """Take a console block apart: `$ ` begins a command, `> ` goes on with it."""
    command: list[str] = []
    shown: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield Step("\n".join(command), "\n".join(shown))
            command, shown = [line[2:]], []
        elif line.startswith("> ") and not shown:
            command.append(line[2:])
        else:
            shown.append(line)
    if command:
        yield Step("\n".join(command), "\n".join(shown))
