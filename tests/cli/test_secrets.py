"""`jobwire secrets make`: what is there stays, what is missing is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobwire.actors.cli.secrets import make_installation
from jobwire.actors.runtime.folder import read_secrets
from jobwire.schemas.errors import Misconfigured


def test_new_secrets_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    keys, api_key = make_installation(tmp_path / "new")

    assert len(read_secrets(keys).keys) == 1
    assert api_key.read_text().startswith("jwk_")
    assert [file.stat().st_mode & 0o777 for file in (keys, api_key)] == [0o600, 0o600]


@pytest.mark.parametrize("missing", ["service-keys", "api-key"])
def test_what_an_end_in_between_left_out_is_made_by_the_next_call(
    tmp_path: Path, missing: str
) -> None:
    before = {file.name: file.read_bytes() for file in make_installation(tmp_path)}
    (tmp_path / missing).unlink()

    after = {file.name: file.read_bytes() for file in make_installation(tmp_path)}

    assert after.keys() == before.keys()
    assert [name for name in before if after[name] != before[name]] == [missing]


def test_where_both_are_there_nothing_is_made(tmp_path: Path) -> None:
    before = [file.read_bytes() for file in make_installation(tmp_path)]

    with pytest.raises(Misconfigured, match="exist already"):
        make_installation(tmp_path)

    assert [(tmp_path / name).read_bytes() for name in ("service-keys", "api-key")] == before
