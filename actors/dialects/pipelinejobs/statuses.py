"""What the jobs services of Agave, Aloe and Tapis call back with, and which event that is."""

from __future__ import annotations

from typing import Any, Final

_ALOE: Final = frozenset(
    (
        "appId", "executionSystem", "owner", "archivePath", "archiveSystem", "status",
        "tenantId", "tenantQueue",
    )
)  # fmt: skip
_AGAVE: Final = frozenset(
    (
        "appId", "executionSystem", "owner", "archivePath", "archiveSystem", "status",
        "inputs", "parameters", "_links",
    )
)  # fmt: skip

#: Of the job document: what is of no use in a history.
_NOT_KEPT: Final = frozenset({"_links", "retries", "localId"})

_EVENTS: Final = {
    "RUNNING": "run",
    "FINISHED": "finish",
    **dict.fromkeys(("FAILED", "STOPPED", "DELETED", "ARCHIVING_FAILED"), "fail"),
    # The original took it for news and left a killed job RUNNING for ever.
    "KILLED": "fail",
    **dict.fromkeys(
        (
            "CREATED", "PENDING", "PROCESSING_INPUTS", "STAGING_INPUTS", "STAGED", "STAGING_JOB",
            "SUBMITTING", "QUEUED", "PAUSED", "CLEANING_UP", "ARCHIVING", "ARCHIVING_FINISHED",
            "PERMISSION_GRANT", "PERMISSION_REVOKE",
        ),
        "resource",
    ),
}  # fmt: skip


def is_callback(value: object) -> bool:
    """Return whether a body is the job document of a jobs service."""
    if not isinstance(value, dict) or not isinstance(value.get("status"), str):
        return False
    keys = value.keys()
    is_aloe = keys >= _ALOE and all(isinstance(value[each], str) for each in _ALOE)
    return is_aloe or keys >= _AGAVE


def event_of(status: str) -> str:
    """Return the event that a status of a platform's job is; one that is not known is news."""
    return _EVENTS.get(status.upper(), "update")


def data_of(document: dict[str, Any], status: str, note: str | None) -> dict[str, Any]:
    """Return what is kept of a job document: all of it when the job starts, else what is new."""
    if status.upper() == "RUNNING":
        return {name: value for name, value in document.items() if name not in _NOT_KEPT}
    return {"status": status.upper(), **({"description": note} if note else {})}
