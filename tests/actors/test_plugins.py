from __future__ import annotations

from pathlib import Path

import pytest

from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.plugins import load, name_for, names
from jobwire.actors.runtime.settings import Database, Settings
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.system.container import Container
from jobwire.schemas.errors import Misconfigured

_OTHER_STORE = """
from jobwire.actors.stores.sqlite import SqliteStore


class OtherStore(SqliteStore):
    pass
"""


async def _none_missing() -> list[str]:
    return []


def _forget_what_was_found() -> None:
    for cached in (plugins.names, plugins.load, plugins._registered):
        cached.cache_clear()


def test_the_parts_of_a_family_are_found_by_their_entry_points() -> None:
    assert names("stores") == ("mongodb", "sqlite")
    assert load("stores", "sqlite") is SqliteStore


def test_a_part_that_nobody_registered_is_named_with_those_that_are() -> None:
    with pytest.raises(Misconfigured, match="'oracle' in the family stores; known: mongodb, sqli"):
        load("stores", "oracle")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (None, "sqlite"),
        ("mongodb://db.example/jobwire", "mongodb"),
        ("mongodb+srv://db.example/jobwire", "mongodb"),
        ("oracle://db.example/jobwire", "mongodb"),
        ("sqlite:///tmp/jobwire.db", "mongodb"),
        ("", "mongodb"),
    ],
)
def test_a_url_chooses_the_part_that_its_scheme_names_else_the_one_that_explains_it(
    url: str | None, name: str
) -> None:
    assert name_for("stores", url, alone="sqlite", shared="mongodb") == name


def test_a_store_of_another_distribution_is_chosen_by_the_scheme_of_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "other-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[jobwire.stores]\nother = other_store:OtherStore\n")
    (tmp_path / "other_store.py").write_text(_OTHER_STORE)
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget_what_was_found()
    settings = Settings(database=Database(url="other://somewhere"))
    folder = DataFolder(tmp_path / "data")
    folder.claim()

    try:
        secrets = folder.secrets()
        store = Container(settings, folder, secrets, "test", _none_missing, lambda: "").store
    finally:
        folder.release()
        _forget_what_was_found()

    assert type(store).__name__ == "OtherStore"
