from __future__ import annotations

import pytest

from jobwire.actors.runtime.plugins import load, names
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.errors import Misconfigured


def test_the_parts_of_a_family_are_found_by_their_entry_points() -> None:
    assert names("stores") == ("mongodb", "sqlite")
    assert load("stores", "sqlite") is SqliteStore


def test_a_part_that_nobody_registered_is_named_with_those_that_are() -> None:
    with pytest.raises(Misconfigured, match="'oracle' in the family stores; known: mongodb, sqli"):
        load("stores", "oracle")
