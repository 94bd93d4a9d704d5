"""What is done once in the life of an installation, and checked at every start."""

from __future__ import annotations

from pathlib import Path

from jobwire.actors.operations.keys import KeyRequest, Keys
from jobwire.actors.runtime.folder import DataFolder, ServiceSecrets, read_secrets, write_private
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.stores.base import Record, Store
from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.principals import ALL_SCOPES

#: Owner of what is made with the first key.
FIRST_PRINCIPAL = "admin"


async def fix_shards(store: Store, shards: int) -> None:
    """
    Keep the number of queues that this data was made with.

    Another one would break the order.
    """
    wanted = str(shards).encode()
    await store.put("service", Record("", "shards", wanted), fresh=True)
    stored = await store.fetch("service", "", "shards")
    if stored is not None and stored.body != wanted:
        created = stored.body.decode()
        detail = f"this data was created with shards = {created}, the settings have {shards}"
        raise Misconfigured(detail)


async def make_first_key(keys: Keys, folder: DataFolder) -> None:
    """Keep a key in its file that opens this data, also after a restore or a revocation."""
    if not await keys.is_good(folder.api_key()):
        request = KeyRequest(principal=FIRST_PRINCIPAL, scopes=ALL_SCOPES, label="first key")
        made = await keys.create(request)
        write_private(folder.api_key_file, made.text.encode() + b"\n")


async def adopt_first_key(keys: Keys, settings: Settings, folder: DataFolder) -> None:
    """Make the first API key open this data, where a file gives one and no other process has."""
    text = folder.api_key(settings.api_key_file)
    if text is None:
        return  # the keys are kept elsewhere
    await keys.adopt(
        text, KeyRequest(principal=FIRST_PRINCIPAL, scopes=ALL_SCOPES, label="first key")
    )


def shared_secrets(settings: Settings, folder: DataFolder) -> ServiceSecrets:
    """
    Read the secrets that all processes of an installation share; they are never made in passing.

    Raises:
        Misconfigured: they are not there, or cannot be read.

    """
    file = Path(settings.service_keys_file or folder.path / "service-keys")
    if not file.exists():
        detail = (
            f"the service keys do not exist: {file}. Create them once with"
            " `jobwire secrets make FOLDER`, and give every process the same file"
            " (setting service_keys_file)"
        )
        raise Misconfigured(detail)
    return read_secrets(file)
