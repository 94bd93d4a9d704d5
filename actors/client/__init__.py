"""The Python SDK: `Client` for asynchronous programs, `SyncClient` for all others."""

from __future__ import annotations

from jobwire.actors.client.client import Client
from jobwire.actors.client.controls import Control
from jobwire.actors.client.posting import NewEvent
from jobwire.actors.client.reading import Tail
from jobwire.actors.client.sync_client import SyncClient

__all__ = ["Client", "Control", "NewEvent", "SyncClient", "Tail"]
