"""How far a job has come, in few words: of its staging in numbers, else as the job says it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from jobwire.actors.cli.output import short_json

_WIDTH: Final = 60
_KIB: Final = 1024
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

Count = Annotated[int, Meta(ge=0)]


class TransferProgress(Struct, frozen=True):
    """What the service says of files on their way."""

    stage: Literal["in", "out"]
    files: Count
    bytes: Count
    total_bytes: Count


_decoder = msgspec.json.Decoder(TransferProgress)


def progress_of(data: Raw) -> str:
    """Write the data of an `update` in at most one short line."""
    try:
        staging = _decoder.decode(data)
    except msgspec.DecodeError:
        return short_json(data, _WIDTH)
    total = max(staging.total_bytes, staging.bytes)
    percent = f", {staging.bytes * 100 // total} %" if total else ""
    return (
        f"{staging.stage}: {staging.files:,} files, {size(staging.bytes)} of {size(total)}{percent}"
    )


def size(count: int) -> str:
    """Write a number of bytes so that it can be grasped: 840 B, 1.2 GiB."""
    amount, unit = float(count), _UNITS[0]
    for each in _UNITS[1:]:
        if amount < _KIB:
            break
        amount, unit = amount / _KIB, each
    return f"{amount:.0f} {unit}" if unit == _UNITS[0] else f"{amount:.1f} {unit}"
