"""Which files an owner's jobs may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.staging_roots import StagingRoots, folder_name
from jobwire.schemas.errors import Invalid, Misconfigured


def _roots(folder: Path, *patterns: str) -> StagingRoots:
    return StagingRoots(folder / "files", patterns, FileTree)


def test_a_relative_path_starts_from_the_owners_own_folder(tmp_path: Path) -> None:
    roots = _roots(tmp_path)

    place = roots.resolve("alice", "in/x", None, "/p")

    assert (place.path, place.address) == ("in/x", f"{tmp_path}/files/alice/in/x")


def test_a_relative_path_starts_from_the_directory_where_one_is_named(tmp_path: Path) -> None:
    roots = _roots(tmp_path, f"{tmp_path}/data")

    place = roots.resolve("alice", "x/", f"file://{tmp_path}/data/project/", "/p")
    root = roots.resolve("alice", "x", f"file://{tmp_path}/data", "/p")

    assert (place.path, place.address) == ("project/x", f"{tmp_path}/data/project/x")
    assert (root.path, root.address) == ("x", f"{tmp_path}/data/x")


def test_two_ways_to_one_file_have_one_address(tmp_path: Path) -> None:
    roots = _roots(tmp_path)

    relative = roots.resolve("alice", "x", None, "/p")
    absolute = roots.resolve("alice", f"file://{tmp_path}/files/alice/x", None, "/p")

    assert relative.address == absolute.address


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{tmp}/files/bob/x", "{tmp}/files", "{tmp}/database", "{tmp}/dat", "/"]
)
def test_what_lies_outside_of_the_roots_is_refused(tmp_path: Path, path: str) -> None:
    roots = _roots(tmp_path, f"{tmp_path}/data")

    with pytest.raises(Invalid) as refused:
        roots.resolve("alice", f"file://{path.format(tmp=tmp_path)}", None, "/spec/directory")

    assert refused.value.pointer == "/spec/directory"
    assert refused.value.code in ("outside_roots", "bad_path")


def test_a_root_of_each_owner_is_closed_to_the_others(tmp_path: Path) -> None:
    roots = _roots(tmp_path, f"{tmp_path}/home/{{owner}}/jobs")

    mine = roots.resolve("alice", f"file://{tmp_path}/home/alice/jobs/x", None, "/p")
    with pytest.raises(Invalid):
        roots.resolve("alice", f"file://{tmp_path}/home/bob/jobs/x", None, "/p")
    with pytest.raises(Invalid):
        roots.resolve("alice", f"file://{tmp_path}/home/alice/other", None, "/p")

    assert mine.address == f"{tmp_path}/home/alice/jobs/x"


async def test_a_link_that_an_owner_puts_behind_its_own_name_is_not_followed(
    tmp_path: Path,
) -> None:
    roots = _roots(tmp_path, f"{tmp_path}/home/{{owner}}/jobs")
    for owner in ("alice", "bob"):
        (tmp_path / "home" / owner).mkdir(parents=True)
    (tmp_path / "home/bob/secret").write_text("secret")
    (tmp_path / "home/alice/jobs").symlink_to(tmp_path / "home/bob")

    place = roots.resolve("alice", f"file://{tmp_path}/home/alice/jobs/secret", None, "/p")

    with pytest.raises(Invalid):
        await place.files.open_read(place.path)


@pytest.mark.parametrize(
    "owner", ["..", ".", "a/b", "../bob", "a\nb", "~root", "x" * 255, "日" * 90]
)
def test_no_name_of_an_owner_leads_out_of_its_folder(owner: str, tmp_path: Path) -> None:
    name = folder_name(owner)

    assert "/" not in name
    assert name not in (".", "..")
    assert len(name.encode()) <= 255
    (tmp_path / name).mkdir()


def test_no_two_owners_share_a_folder() -> None:
    owners = [".a", "%2Ea", "a", "A", "x" * 250, "x" * 251, "日" * 90, "日" * 91, "a b", "a+b"]

    assert len({folder_name(owner) for owner in owners}) == len(owners)


def test_a_root_that_is_no_absolute_path_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="data/x"):
        StagingRoots(tmp_path, ["/data", "data/x"], FileTree)
