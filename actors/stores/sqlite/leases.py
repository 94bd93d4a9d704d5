"""Who holds which role, in SQL; the clock is SQLite's."""

from __future__ import annotations

import sqlite3
from typing import Final

_NOW: Final = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_CLAIM: Final = (
    f"INSERT INTO leases (role, holder, fence, until) VALUES (?1, ?2, 1, {_NOW} + ?3)"  # noqa: S608
    " ON CONFLICT (role) DO UPDATE SET fence = fence + (holder <> ?2), holder = ?2,"
    f" until = {_NOW} + ?3 WHERE holder = ?2 OR until <= {_NOW} RETURNING fence"
)
#: The number stays, so that the next holder's is larger.
_RELEASE: Final = "UPDATE leases SET holder = '', until = 0 WHERE role = ? AND holder = ?"
_HOLDERS: Final = (
    "SELECT role, holder FROM leases WHERE role >= ?1 AND substr(role, 1, length(?1)) = ?1"  # noqa: S608
    f" AND until > {_NOW} ORDER BY role"
)


def claim(connection: sqlite3.Connection, role: str, holder: str, ttl_s: float) -> int | None:
    """Take a role that nobody holds, or keep it; return its fencing number."""
    row = connection.execute(_CLAIM, (role, holder, round(ttl_s * 1_000_000))).fetchone()
    return int(row[0]) if row else None


def release(connection: sqlite3.Connection, role: str, holder: str) -> None:
    """Release a role."""
    connection.execute(_RELEASE, (role, holder))


def holders(connection: sqlite3.Connection, prefix: str) -> dict[str, str]:
    """Return the roles beginning with `prefix` that are held now."""
    return dict(connection.execute(_HOLDERS, (prefix,)).fetchall())
