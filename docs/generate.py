"""
Writes the generated pages of the reference; with `--check` says which are not up to date.

    python docs/generate.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from _generate.asyncapi import asyncapi_document
from _generate.commands import commands_text
from _generate.errors import errors_page
from _generate.jobs import jobs_page
from _generate.lifecycles import lifecycles_page
from _generate.markdown import fill
from _generate.metrics import metrics_page
from _generate.openapi import openapi_document
from _generate.reasons import reasons_table
from _generate.settings import settings_page

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
#: The descriptions for programs are parts of the package.
NATIVE = ROOT / "actors" / "dialects" / "native"


def main(arguments: list[str]) -> int:
    """Write or check every generated file; 1 when a check finds a difference."""
    stale = []
    for file, text in _files():
        if file.exists() and file.read_text() == text:
            continue
        if "--check" in arguments:
            stale.append(file)
        else:
            file.write_text(text)
            print(f"wrote {file.relative_to(ROOT)}")
    for file in stale:
        print(
            f"{file.relative_to(ROOT)} is not what the code says; run `make generate`",
            file=sys.stderr,
        )
    return 1 if stale else 0


def _files() -> Iterator[tuple[Path, str]]:
    yield REFERENCE / "lifecycles.md", lifecycles_page()
    yield REFERENCE / "jobs.md", jobs_page()
    yield REFERENCE / "settings.md", settings_page()
    yield REFERENCE / "metrics.md", metrics_page()
    yield REFERENCE / "errors.md", errors_page()
    yield NATIVE / "openapi.json", openapi_document()
    yield NATIVE / "asyncapi.json", asyncapi_document()
    events, commands = REFERENCE / "events.md", REFERENCE / "cli.md"
    yield events, fill(events.read_text(), "reasons", reasons_table())
    yield commands, fill(commands.read_text(), "commands", commands_text())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
