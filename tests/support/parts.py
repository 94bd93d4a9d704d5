"""Parts that another distribution brings: what its entry points would register."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobwire.actors.runtime import plugins


def register(monkeypatch: pytest.MonkeyPatch, folder: Path, **parts: str) -> None:
    """
    Install a distribution in a folder, as long as a test runs.

    Each part is `family="name = module:attribute"`.
    """
    info = folder / "jobwire_parts_of_tests-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jobwire-parts-of-tests\n")
    groups = [f"[jobwire.{family}]\n{part}\n" for family, part in parts.items()]
    (info / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(folder)
    _forget()


def _forget() -> None:
    for found in (plugins.names, plugins.load, plugins._registered):
        found.cache_clear()
