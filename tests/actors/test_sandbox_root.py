"""A site belongs to one folder of sandboxes, whichever process serves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.operations.events import Events
from jobwire.actors.roles.leader import LeaderRole
from jobwire.actors.runtime.secrets import JobSecrets
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.submitter.actor import Submitter
from jobwire.actors.submitter.sandbox_root import ID_FILE, SandboxRoot
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.actors.workers.store_gateway import StoreWorkerGateway
from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.events import Event
from tests.support.deadlines import until
from tests.support.factories import KEYRING, NOW
from tests.support.packing import packing
from tests.support.sites import make_site


async def test_the_first_folder_is_the_one_and_stays_it(store: SqliteStore, tmp_path: Path) -> None:
    await SandboxRoot(make_site(tmp_path / "a"), store).check()
    written = (tmp_path / "a" / ID_FILE).read_text()

    await SandboxRoot(make_site(tmp_path / "a"), store).check()

    assert (tmp_path / "a" / ID_FILE).read_text() == written


async def test_another_folder_is_refused_until_it_is_said_to_be_the_one(
    store: SqliteStore, tmp_path: Path
) -> None:
    await SandboxRoot(make_site(tmp_path / "a"), store).check()
    there = (tmp_path / "a" / ID_FILE).read_text()
    other = SandboxRoot(make_site(tmp_path / "b"), store)

    with pytest.raises(Misconfigured, match=f"write {there.strip()} into the file {ID_FILE}"):
        await other.check()
    (tmp_path / "b" / ID_FILE).write_text(there)

    await other.check()


async def test_where_no_jobs_run_the_folder_is_left_open(
    store: SqliteStore, tmp_path: Path
) -> None:
    await SandboxRoot(make_site(tmp_path / "a", admits=False), store).check()

    await SandboxRoot(make_site(tmp_path / "b"), store).check()

    with pytest.raises(Misconfigured):
        await SandboxRoot(make_site(tmp_path / "a", admits=False), store).check()


def _submitter(store: SqliteStore, root: Path) -> Callable[[], Submitter]:
    async def send(shard: int, events: tuple[Event, ...]) -> None:
        pytest.fail(f"nothing is to be sent: {shard} {events}")

    events = Events(
        packer=packing(send),
        replies=ReplyInbox(),
        keyring=KEYRING,
        clock=lambda: NOW,
        data_bytes=1_000,
    )
    site = make_site(root)
    return lambda: Submitter(
        site=site,
        transport=EmbeddedTransport(),
        gateway=StoreWorkerGateway(store=store, events=events, keyring=KEYRING, clock=lambda: NOW),
        secrets=JobSecrets(root / "secrets"),
        clock=lambda: NOW,
        root=SandboxRoot(site, store),
    )


async def test_a_submitter_elsewhere_leaves_the_role_and_says_why(
    store: SqliteStore, tmp_path: Path
) -> None:
    await SandboxRoot(make_site(tmp_path / "a"), store).check()
    elsewhere, here = (
        LeaderRole(_submitter(store, tmp_path / name), store, "submitter.local", name)
        for name in ("b", "a")
    )

    await elsewhere.start()
    await until(lambda: "another folder" in (elsewhere.not_ready() or ""))
    await here.start()
    await until(lambda: here.not_ready() is None)

    await elsewhere.stop()
    await here.stop()
