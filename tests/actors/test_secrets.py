"""Secrets of jobs: files that are read when a job starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobwire.actors.runtime.secrets import JobSecrets
from jobwire.schemas.errors import NotFound, Unavailable


@pytest.fixture(name="secrets")
def _secrets(tmp_path: Path) -> JobSecrets:
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "token").write_text("s3cret\n")
    return JobSecrets(tmp_path)


def test_a_secret_is_its_file_without_the_last_line_end(secrets: JobSecrets) -> None:
    assert secrets.has("alice", "token")
    assert secrets.read("alice", "token") == "s3cret"


@pytest.mark.parametrize(("owner", "name"), [("alice", "other"), ("bob", "token")])
def test_what_is_not_there_is_said_by_its_name(secrets: JobSecrets, owner: str, name: str) -> None:
    assert not secrets.has(owner, name)
    with pytest.raises(NotFound, match=name):
        secrets.read(owner, name)


@pytest.mark.parametrize("content", [b"a\0b", b"\xff", b"x" * 65_537])
def test_what_is_no_text_is_refused_without_being_shown(
    secrets: JobSecrets, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "alice" / "bad").write_bytes(content)

    with pytest.raises(Unavailable) as refused:
        secrets.read("alice", "bad")

    assert "bad" in refused.value.detail
    assert "xxx" not in refused.value.detail


def test_a_link_leads_to_a_secret_and_a_pipe_is_none(secrets: JobSecrets, tmp_path: Path) -> None:
    (tmp_path / "alice" / "link").symlink_to("token")
    os.mkfifo(tmp_path / "alice" / "pipe")

    assert secrets.read("alice", "link") == "s3cret"
    assert not secrets.has("alice", "pipe")
    with pytest.raises(Unavailable, match="not a regular file"):
        secrets.read("alice", "pipe")
