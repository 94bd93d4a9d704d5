"""The sites of one process: from their settings to hosts and batch systems."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from jobwire.actors.batch_systems.base import BatchSystem
from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.hosts.base import Host
from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings, SiteSettings
from jobwire.actors.sites import Site
from jobwire.actors.submitter.shim import SHIM
from jobwire.schemas.errors import Misconfigured


def make_sites(
    settings: Settings, folder: DataFolder, url: Callable[[], str]
) -> Mapping[str, Site]:
    """
    Make `local`, the machine itself, and the sites that are set, by their names.

    Args:
        settings: of the service.
        folder: where sandboxes are that no setting places elsewhere.
        url: where jobs report to, unless their site names another address.

    Raises:
        Misconfigured: two sites have one name, or a part of one is not installed.

    """
    if repeated := settings.repeated_site():
        raise Misconfigured(f"setting sites: two sites are called {repeated!r}")
    local = _site(settings.local.as_site(), folder, url, admits=settings.runs_jobs)
    # On this machine jobs run as the service's user: other sites here obey the same switch.
    others = (
        _site(each, folder, url, admits=settings.runs_jobs or bool(each.address))
        for each in settings.sites
    )
    return {each.name: each for each in (local, *others)}


def _site(
    settings: SiteSettings, folder: DataFolder, url: Callable[[], str], *, admits: bool
) -> Site:
    """Make a site; where jobs may not run any more, those that run are still watched."""
    batch: BatchSystem = plugins.load("batch_systems", settings.batch)()
    cores = settings.slots or (None if batch.has_queue else os.cpu_count() or 1)
    return Site(
        settings=settings,
        host=_host(settings, folder),
        batch=batch,
        slots=cores if admits else 0,
        shim=str(SHIM),
        url=lambda: settings.callback_url or url(),
        admits=admits,
    )


def _host(settings: SiteSettings, folder: DataFolder) -> Host:
    scheme, _, _ = (settings.address or "").partition(":")
    make: Callable[..., Host] = plugins.load("hosts", scheme or "local")
    if scheme:
        return make(settings)
    default = "sandboxes" if settings.name == "local" else f"sandboxes-{settings.name}"
    root = Path(settings.folder or folder.path / default).absolute()
    return make(FileTree(root), str(root))
