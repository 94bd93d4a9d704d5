"""Sites of this machine, for tests that make their own parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobwire.actors.batch_systems.local import LocalBatch
from jobwire.actors.hosts.local import LocalHost
from jobwire.actors.runtime.settings import SiteSettings
from jobwire.actors.sites import Site
from jobwire.actors.submitter.shim import SHIM


def make_site(root: Path, **fields: Any) -> Site:
    """Return a site whose jobs have their sandboxes below a folder."""
    parts = {
        "settings": SiteSettings(name="local"),
        "host": LocalHost(root),
        "batch": LocalBatch(),
        "slots": 1,
        "shim": str(SHIM),
        "url": lambda: "http://service",
    }
    return Site(**{**parts, **fields})
