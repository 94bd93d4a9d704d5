"""The lifecycle tables that decisions need: built-in ones, and registered ones from the store."""

from __future__ import annotations

import msgspec
import structlog

from jobwire.actors.runtime.cache import BoundedCache
from jobwire.actors.stores.base import Store
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import Job
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.lifecycles import BUILT_IN

_log = structlog.get_logger()

#: Kind of the records that hold registered lifecycles, one for each version.
LIFECYCLES = "lifecycle"

_decoder = msgspec.json.Decoder(Lifecycle)

#: Registered versions kept in memory; they never change, so the bound is only for size.
_MOST = 1_000


def table_key(name: str, version: int) -> str:
    """Return the record key of one version; keys sort by name, then by number."""
    return f"{name}@{version:08d}"


class LifecycleRegistry:
    """Finds a job's table; a registered version is read once, because it never changes."""

    def __init__(self, store: Store) -> None:
        """Read registered lifecycles from a store."""
        self._store = store
        self._read = BoundedCache[tuple[str, str], Lifecycle](_MOST)

    async def of(self, job: Job | None, event: Event) -> Lifecycle | None:
        """Return the lifecycle of a job, or the one that a `create` names; None: unknown."""
        creation = event.creation
        if creation is not None and (job is None or job.deleted):
            return await self.get(creation.owner, creation.lifecycle, creation.lifecycle_version)
        if job is None:
            return None
        return await self.get(job.owner, job.lifecycle, job.lifecycle_version)

    async def get(self, owner: str, name: str, version: int) -> Lifecycle | None:
        """Return one version of a lifecycle that this owner may use."""
        if name in BUILT_IN:
            return BUILT_IN[name]
        key = (owner, table_key(name, version))
        lifecycle = self._read.get(key)
        if lifecycle is None and (record := await self._store.fetch(LIFECYCLES, *key)) is not None:
            try:
                lifecycle = self._read[key] = _decoder.decode(record.body)
            except msgspec.ValidationError as error:  # a newer release has written it
                _log.warning("lifecycle_not_read", lifecycle=key[1], error=str(error))
        return lifecycle
