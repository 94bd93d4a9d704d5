"""
Releases side by side: the level of a release, as its leases name it.

A release that writes something which the one before cannot read has a level more. Leases name the
level of their holder; those of release 0.1.0 name none, which is level 1.
"""

from __future__ import annotations

from typing import Final

#: The level of release 0.1.0.
FIRST_LEVEL: Final = 1
#: The level of this release: it reads kinds, causes, reasons and roles that it does not know.
LEVEL: Final = 2

#: Stands before the level in a holder's name; no name of a machine has it.
_MARK: Final = "~"


def holder_name(name: str) -> str:
    """Return the name under which a process of this release holds leases."""
    return f"{name}{_MARK}{LEVEL}"


def level_of(holder: str) -> int:
    """Return the level that a holder of a lease names."""
    _, mark, level = holder.rpartition(_MARK)
    return int(level) if mark and level.isascii() and level.isdigit() else FIRST_LEVEL
