"""What every file system promises: files below one directory, and nothing outside of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobwire.actors.filesystems.base import MOST_DEPTH, FileSystem
from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.runtime import failpoints
from jobwire.schemas.errors import Invalid, NotFound, Unavailable
from tests.support.deadlines import PATIENCE_S
from tests.support.disk import small_disk


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return the directory of the file system."""
    made = tmp_path / "tree"
    made.mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a directory that must stay as it is."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / "secret").write_text("secret")
    return made


def _names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _read(files: FileSystem, path: str, start: int = 0) -> bytes:
    reader = await files.open_read(path, start)
    try:
        return await reader.read(1_000_000)
    finally:
        await reader.close()


async def _write(files: FileSystem, path: str, data: bytes, mode: int = 0o644) -> None:
    writer = await files.open_write(path, mode)
    await writer.write(data)
    await writer.commit()


async def test_a_written_file_appears_whole_with_its_mode_and_is_read_back(
    files: FileSystem, tree: Path
) -> None:
    writer = await files.open_write("a/b/new.txt", 0o4751)
    await writer.write(b"one ")
    await writer.write(memoryview(b"two"))
    before = (tree / "a/b/new.txt").exists()
    await writer.commit()
    await writer.abort()

    assert not before
    assert await _read(files, "a/b/new.txt") == b"one two"
    assert await _read(files, "a/b/new.txt", 4) == b"two"
    assert await _read(files, "a/b/new.txt", 400) == b""
    assert stat.S_IMODE((tree / "a/b/new.txt").stat().st_mode) == 0o751
    assert _names(tree / "a/b") == ["new.txt"]


async def test_a_file_that_is_given_up_leaves_the_one_before_it(
    files: FileSystem, tree: Path
) -> None:
    await _write(files, "kept.txt", b"old")

    writer = await files.open_write("kept.txt")
    await writer.write(b"new")
    await writer.abort()
    await writer.abort()

    assert await _read(files, "kept.txt") == b"old"
    assert _names(tree) == ["kept.txt"]


async def test_what_a_crash_has_left_goes_when_the_file_is_begun_again_under_its_tag(
    files: FileSystem, tree: Path
) -> None:
    left = await files.open_write("x.bin", tag="job.1")
    await left.write(b"half")
    assert len(_names(tree)) == 1

    writer = await files.open_write("x.bin", tag="job.1")
    await writer.write(b"whole")
    await writer.commit()

    assert _names(tree) == ["x.bin"]
    assert await _read(files, "x.bin") == b"whole"
    await left.abort()
    assert _names(tree) == ["x.bin"]


async def test_a_buffer_is_filled_and_a_reader_can_be_set_to_a_byte(files: FileSystem) -> None:
    await _write(files, "x", b"0123456789")
    reader = await files.open_read("x")
    buffer = bytearray(4)

    counts = [await reader.read_into(buffer) for _ in range(4)]
    await reader.seek(7)
    rest = await reader.read(100)
    await reader.close()
    await reader.close()

    assert counts == [4, 4, 2, 0]
    assert (rest, reader.info.size) == (b"789", 10)


async def test_a_walk_gives_everything_in_order_and_goes_on_behind_any_path(
    files: FileSystem,
) -> None:
    for path in ("b/x", "b/y/z", "b-1", "a", "c"):
        await _write(files, path, b"1")
    await files.make_directory("empty")

    whole = await files.walk("", 100)
    paths = [each.path for each in whole]

    assert paths == ["a", "b", "b/x", "b/y", "b/y/z", "b-1", "c", "empty"]
    assert [each.kind for each in whole if each.path in ("b", "b/x", "empty")] == [
        "directory",
        "file",
        "directory",
    ]
    for number, path in enumerate(paths):
        rest = [each.path for each in await files.walk("", 2, after=path)]
        assert rest == paths[number + 1 : number + 3], path
    below = [each.path for each in await files.walk("b", 100, after="b/y")]
    assert below == ["b/y/z"]
    wanted = await files.walk("", 1, wanted=lambda path: path.endswith("z"))
    assert [each.path for each in wanted] == ["b/y/z"]


@pytest.mark.parametrize(
    "path",
    ["..", "../outside/secret", "a/../../outside/secret", "/etc/passwd", "a//b", ".", "a\0b"],
)
async def test_a_path_that_leads_out_is_refused_by_every_verb(
    files: FileSystem, tree: Path, outside: Path, path: str
) -> None:
    (tree / "a").mkdir()

    for verb in (files.stat, files.open_read, files.open_write, files.make_directory, files.remove):
        with pytest.raises(Invalid):
            await verb(path)
    with pytest.raises(Invalid):
        await files.walk(path, 10)
    with pytest.raises(Invalid):
        await files.prune(path, lambda _: False)
    assert (outside / "secret").read_text() == "secret"


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("path", ["x" * 300, "a/" + "\udcff", "\ud800"])
async def test_a_name_that_no_file_has_is_an_error_of_ours(files: FileSystem, path: str) -> None:
    for verb in (files.stat, files.open_read, files.open_write):
        with pytest.raises(Invalid) as refused:
            await verb(path)
        assert refused.value.code == "bad_path"


@pytest.mark.usefixtures("tree")
async def test_nothing_there_is_not_found_and_removing_it_is_no_error(files: FileSystem) -> None:
    for verb in (files.stat, files.open_read):
        with pytest.raises(NotFound) as missing:
            await verb("not/there")
        assert missing.value.code == "no_file"
    with pytest.raises(NotFound):
        await files.walk("not", 10)
    await files.remove("not/there")
    await files.prune("not/there", lambda _: True)


def _link(tree: Path, outside: Path) -> None:
    (tree / "bad").symlink_to(outside / "secret")


def _dangling(tree: Path, _outside: Path) -> None:
    (tree / "bad").symlink_to("nowhere")


def _fifo(tree: Path, _outside: Path) -> None:
    os.mkfifo(tree / "bad")


def _socket(tree: Path, _outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        before = Path.cwd()
        os.chdir(tree)
        try:
            made.bind("bad")
        finally:
            os.chdir(before)


def _device(tree: Path, _outside: Path) -> None:
    if os.geteuid():
        pytest.skip("NO DEVICE COULD BE MADE: run as root")
    os.mknod(tree / "bad", stat.S_IFCHR | 0o666, os.makedev(1, 5))


def _foreign(tree: Path, outside: Path) -> None:
    if os.geteuid():
        pytest.skip("NO FILE OF ANOTHER USER COULD BE MADE: run as root")
    os.chown(outside / "secret", 12345, 12345)
    os.link(outside / "secret", tree / "bad")


_HOSTILE = [_link, _dangling, _fifo, _socket, _device, _foreign]


@pytest.mark.parametrize("plant", _HOSTILE)
async def test_what_is_no_regular_file_is_listed_as_other_and_never_opened(
    files: FileSystem, tree: Path, outside: Path, plant: Callable[[Path, Path], None]
) -> None:
    plant(tree, outside)

    async with asyncio.timeout(PATIENCE_S):
        seen = await files.stat("bad")
        listed = await files.walk("", 10)
        with pytest.raises(Invalid) as refused:
            await files.open_read("bad")

    assert seen.kind == "other"
    assert [each.kind for each in listed] == ["other"]
    assert refused.value.code == "not_a_file"
    assert "bad" in refused.value.detail


@pytest.mark.parametrize("plant", _HOSTILE)
async def test_a_write_replaces_what_is_no_regular_file_and_never_goes_through_it(
    files: FileSystem, tree: Path, outside: Path, plant: Callable[[Path, Path], None]
) -> None:
    plant(tree, outside)

    async with asyncio.timeout(PATIENCE_S):
        await _write(files, "bad", b"mine")

    assert stat.S_ISREG((tree / "bad").lstat().st_mode)
    assert (tree / "bad").read_bytes() == b"mine"
    assert _names(outside) == ["secret"]
    assert (outside / "secret").read_text() == "secret"


async def test_a_link_in_the_place_of_a_directory_leads_nowhere(
    files: FileSystem, tree: Path, outside: Path
) -> None:
    (tree / "dir").symlink_to(outside)

    for verb in (files.stat, files.open_read, files.open_write, files.make_directory):
        with pytest.raises(Invalid):
            await verb("dir/secret")
    with pytest.raises(Invalid):
        await files.walk("dir", 10)
    with pytest.raises(Invalid):
        await files.prune("dir", lambda _: False)
    await files.remove("dir")

    assert (outside / "secret").read_text() == "secret"
    assert _names(tree) == []


async def test_a_link_that_takes_a_files_place_after_it_was_listed_is_not_followed(
    files: FileSystem, tree: Path, outside: Path
) -> None:
    await _write(files, "d/out.txt", b"good")
    listed = await files.walk("", 10)
    assert [each.kind for each in listed] == ["directory", "file"]

    (tree / "d/out.txt").unlink()
    (tree / "d/out.txt").symlink_to(outside / "secret")
    with pytest.raises(Invalid):
        await files.open_read("d/out.txt")
    shutil.rmtree(tree / "d")
    (tree / "d").symlink_to(outside)
    with pytest.raises(Invalid):
        await files.open_read("d/secret")


@pytest.mark.parametrize("name", ["secret", "fifo"])
async def test_what_takes_a_files_place_between_the_look_and_the_opening_is_not_read(
    files: FileSystem, tree: Path, outside: Path, name: str
) -> None:
    await _write(files, "out", b"mine")
    os.mkfifo(outside / "fifo")

    def swap() -> None:
        (tree / "out").unlink()
        if name == "fifo":
            os.mkfifo(tree / "out")
        else:
            (tree / "out").symlink_to(outside / name)

    failpoints.arm("file.before_open", swap)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Invalid) as refused:
            await files.open_read("out")

    assert refused.value.code == "not_a_file"


@pytest.fixture
def swapped(tree: Path, outside: Path) -> Iterator[None]:
    """Put a directory and a link in each other's place, again and again."""
    (tree / "real").mkdir()
    (tree / "real/secret").write_text("mine")
    script = (
        f"cd {tree}; while :; do ln -s {outside} way; rm -f way; "
        "mv real way 2>/dev/null; mv way real 2>/dev/null; done"
    )
    swapper = subprocess.Popen(["/bin/sh", "-c", script])
    yield
    swapper.kill()
    swapper.wait()


@pytest.mark.usefixtures("swapped")
async def test_a_directory_swapped_all_the_time_never_gives_a_byte_of_another(
    files: FileSystem,
) -> None:
    seen: set[bytes] = set()

    async with asyncio.timeout(PATIENCE_S):
        while len(seen) < 2:
            try:
                seen.add(await _read(files, "way/secret"))
            except NotFound:
                continue
            except Invalid:
                seen.add(b"refused")

    assert seen == {b"mine", b"refused"}


async def test_a_name_that_is_not_text_is_listed_in_a_way_that_can_be_shown(
    files: FileSystem, tree: Path
) -> None:
    await _write(files, "two\nlines", b"x")
    odd = os.fsdecode(os.fsencode(tree) + b"/caf\xe9")
    os.close(os.open(odd, os.O_CREAT | os.O_WRONLY))

    listed = await files.walk("", 10)

    assert [(each.path, each.kind) for each in listed] == [
        ("caf\\xe9", "other"),
        ("two\nlines", "file"),
    ]


async def test_a_directory_that_lies_too_deep_is_other_and_not_looked_into(
    files: FileSystem,
) -> None:
    await files.make_directory("/".join(["d"] * (MOST_DEPTH + 3)))

    listed = await files.walk("", 1_000)

    assert [each.kind for each in listed] == ["directory"] * MOST_DEPTH + ["other"]


def _dig(tree: Path, levels: int) -> None:
    """Make directories deeper than any path can say."""
    here = os.open(tree, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


async def test_a_directory_is_removed_however_deep_locked_or_full_it_is(
    files: FileSystem, tree: Path, outside: Path
) -> None:
    box = tree / "box"
    box.mkdir()
    _dig(box, 2_500)
    (box / "link").symlink_to(outside)
    os.mkfifo(box / "fifo")
    (box / "locked/in").mkdir(parents=True)
    (box / "locked/in/file").write_text("x")
    (box / "locked/in").chmod(0o500)
    (box / "locked").chmod(0)

    await files.remove("box")

    assert _names(tree) == []
    assert (outside / "secret").read_text() == "secret"


async def test_pruning_keeps_the_files_that_are_named_and_nothing_else(
    files: FileSystem, tree: Path, outside: Path
) -> None:
    for path in ("box/work/keep", "box/work/gone", "box/work/d/keep", "box/control/latch"):
        await _write(files, path, b"1")
    _dig(tree / "box/work/d", 200)
    (tree / "box/work/e").mkdir()
    (tree / "box/work/e/keep").symlink_to(outside / "secret")
    os.mkfifo(tree / "box/keep")

    for _ in range(2):
        await files.prune("box", lambda path: path.endswith("keep"))

    left = [each.path for each in await files.walk("", 100)]
    assert left == ["box", "box/work", "box/work/d", "box/work/d/keep", "box/work/keep"]
    assert (outside / "secret").read_text() == "secret"


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


async def test_a_full_disk_is_unavailable_and_leaves_nothing_half(disk: Path) -> None:
    files = FileTree(disk)
    writer = await files.open_write("big")

    with pytest.raises(Unavailable) as failed:
        await writer.write(bytes(4_000_000))
    await writer.abort()

    assert "big" in failed.value.detail
    assert _names(disk) == []
    await _write(files, "small", b"fits again")


async def test_whoever_is_cancelled_in_the_middle_of_a_write_leaves_no_file_open(
    files: FileSystem, tree: Path
) -> None:
    before = _descriptors()

    for _ in range(20):
        writer = await files.open_write("x")
        writing = asyncio.create_task(writer.write(bytes(4_000_000)))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        await writer.abort()
        opening = asyncio.create_task(files.open_write("x"))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()

    assert _descriptors() == before
    assert _names(tree) == []
