"""
One file from one file system to another: hashed on the way, and there whole or not at all.

While one block is hashed and written, the next one is read; memory stays at two blocks however
large the file is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from jobwire.actors.filesystems.base import FileLocation, Reader, Writer
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.stager.plan import too_large
from jobwire.schemas.errors import Invalid

#: Bytes that are read at once.
_BLOCK = 4 * 1_048_576
_SMALLEST_BLOCK = 65_536

Moved = Callable[[int], None]
"""Told of every block how many bytes it has."""


class TransferResult(NamedTuple):
    """A file that was copied."""

    size: int
    sha256: str


async def copy(
    source: FileLocation,
    target: FileLocation,
    *,
    limit: int,
    sha256: str | None,
    tag: str,
    moved: Moved,
) -> TransferResult:
    """
    Copy a file with its permission bits; what was there before is replaced.

    Args:
        source: a regular file.
        target: what it becomes; nothing of it shows before it is whole and on disk.
        limit: most bytes that it may have, also where it grows meanwhile.
        sha256: the digest that it must have.
        tag: names the unfinished file; see `FileSystem.open_write`.
        moved: hears of the progress.

    Raises:
        Invalid: it is too large, has another digest, or is no regular file.
        NotFound: it is not there.
        Unavailable: a file system failed.

    """
    reader = await source.files.open_read(source.path)
    try:
        writer = await target.files.open_write(target.path, reader.info.mode, tag=tag)
        try:
            copied = await _pump(reader, writer, limit, moved)
            if sha256 not in (None, copied.sha256):
                detail = f"{source.path!r} has the SHA-256 {copied.sha256}, not {sha256}"
                raise Invalid(detail, code="wrong_digest")
            failpoint("stager.before_commit")
            await writer.commit()
        finally:
            await writer.abort()
    finally:
        await reader.close()
    return copied


async def _pump(reader: Reader, writer: Writer, limit: int, moved: Moved) -> TransferResult:
    """Read, hash and write side by side."""
    block = max(min(_BLOCK, reader.info.size), _SMALLEST_BLOCK)
    buffer, next_buffer = bytearray(block), bytearray(block)
    digest, size = hashlib.sha256(), 0
    ahead = asyncio.create_task(reader.read_into(buffer))
    try:
        while count := await ahead:
            size += count
            if size > limit:
                raise too_large(reader.info.path, limit)
            buffer, next_buffer = next_buffer, buffer
            ahead = asyncio.create_task(reader.read_into(buffer))
            data = memoryview(next_buffer)[:count]
            await asyncio.gather(asyncio.to_thread(digest.update, data), writer.write(data))
            moved(count)
    finally:
        ahead.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await ahead
    return TransferResult(size, digest.hexdigest())
