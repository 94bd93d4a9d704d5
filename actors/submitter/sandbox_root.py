"""
Which folder a site's jobs have their sandboxes in: there is one, and the store knows it.

Submitters that stand in for each other may be on several machines. One that took a site over where
its sandboxes are not would find nothing of what runs, and call it LOST.
"""

from __future__ import annotations

import secrets
from typing import Final

from jobwire.actors.filesystems.base import FileSystem
from jobwire.actors.sites import Site
from jobwire.actors.stores.base import Record, Store
from jobwire.schemas.errors import Misconfigured, NotFound

#: The file in the folder of sandboxes that holds its id.
ID_FILE: Final = "folder-id"
#: The kind of record that names the folder of each site.
SITES: Final = "site"
#: Most bytes of an id that are read.
_ID_BYTES: Final = 100


class SandboxRoot:
    """The folder of one site's sandboxes, as this process sees it."""

    def __init__(self, site: Site, store: Store) -> None:
        """Compare the folder of a site with the one in a store."""
        self._site = site
        self._store = store

    async def check(self) -> None:
        """
        Make sure that the sandboxes are here; the first process that runs jobs decides where.

        Raises:
            Misconfigured: they are elsewhere.
            Unavailable: the store or the folder cannot be asked.

        """
        name, here = self._site.name, await _folder_id(self._site.host.files)
        if self._site.admits:
            await self._store.put(SITES, Record("", name, here.encode()), fresh=True)
        stored = await self._store.fetch(SITES, "", name)
        if stored is None or stored.body == here.encode():
            return
        there = stored.body.decode()
        detail = (
            f"the jobs of the site {name} have their sandboxes in another folder than this process;"
            f" run its submitter where they are, or set the folder of {name} to them. If they are"
            f" gone for good, write {there} into the file {ID_FILE} of the folder of sandboxes"
            " here: what still ran there becomes LOST"
        )
        raise Misconfigured(detail)


async def _folder_id(files: FileSystem) -> str:
    """Return the id of a folder; write it if it is missing."""
    try:
        return await _read(files)
    except NotFound:
        writer = await files.open_write(ID_FILE, 0o600)
        try:
            await writer.write(f"{secrets.token_hex(8)}\n".encode())
            await writer.commit()
        finally:
            await writer.abort()
    return await _read(files)


async def _read(files: FileSystem) -> str:
    reader = await files.open_read(ID_FILE)
    try:
        return (await reader.read(_ID_BYTES)).decode(errors="replace").strip()
    finally:
        await reader.close()
