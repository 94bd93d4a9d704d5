"""Which release this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Return the version of the installed distribution; a plain checkout has none."""
    try:
        return version("jobwire")
    except PackageNotFoundError:
        return "(not installed)"
