"""`jobwire migrate-store`: from the one file of a data folder to a database for many processes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import click
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from jobwire.actors.cli.connection import data_option, folder_of, json_option
from jobwire.actors.cli.output import Output
from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.configuration import load_settings
from jobwire.actors.runtime.failpoints import arm_from_environment
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.stores.plugins import Source, StoreExporter, StoreImporter
from jobwire.actors.stores.rows import TABLES, Row, Table, TableChecksum
from jobwire.schemas.errors import Conflict, Invalid, NotFound

#: Rows in one batch; after a crash at most one batch is copied again.
_BATCH: Final = 1_000

Step = Callable[[int], None]
"""Called with the number of rows handled since the last call."""


class CopiedRows(Struct, frozen=True):
    """One table as it is in both stores."""

    rows: int
    digest: str


class MigrationResult(Struct, frozen=True):
    """What was copied, and compared afterwards."""

    database: str
    shards: int
    tables: dict[Table, CopiedRows]


@click.command("migrate-store")
@data_option
@click.option("--to", "url", metavar="URL", help="The database; default: the setting database.url.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="JOBWIRE_CONFIG",
    help="Settings as TOML: [database] url or url_file, and shards.",
)
@json_option
@click.pass_context
def migrate_store(
    ctx: click.Context, *, folder: Path | None, url: str | None, config: Path | None, as_json: bool
) -> None:
    """
    Copy jobs, history, refused events, records and deliveries into an empty MongoDB database.

    No service may run on the data folder. At the end every row is compared. To continue an
    interrupted copy, run the same command again. The data folder is only read, and its service keys
    are not copied. Other users of this machine can see a password in a URL: pass it in
    JOBWIRE_DATABASE__URL, or in the file that JOBWIRE_DATABASE__URL_FILE names.
    """
    output = Output(as_json=as_json)
    arm_from_environment(os.environ)
    settings = load_settings(config, os.environ)
    target = url or settings.database.url
    if target is None:
        detail = "no database was given: use --to URL, or the setting database.url"
        raise Invalid(detail, pointer="to")
    data = folder_of(ctx, folder)
    if not data.database.exists():
        raise NotFound(f"{data.path} contains no data to copy")
    data.claim()
    try:
        made = asyncio.run(_migrate(data, target, settings))
    finally:
        data.release()
    _report(output, data, made)


async def _migrate(folder: DataFolder, url: str, settings: Settings) -> MigrationResult:
    kind = plugins.name_for("store_importers", url, alone="sqlite", shared="mongodb")
    importer: StoreImporter = plugins.load("store_importers", kind)(url, settings)
    exporter: StoreExporter = plugins.load("store_exporters", "sqlite")(folder.database)
    try:
        with closing(exporter):
            name = hashlib.sha256(folder.secrets().identity).hexdigest()
            await importer.begin(Source(name, exporter.last_position()))
            rows = {table: exporter.count(table) for table in TABLES}
            with _bar("copying", sum(rows.values())) as step:
                sent = {table: await _copy(exporter, importer, table, step) for table in TABLES}
            with _bar("comparing", sum(rows.values())) as step:
                for table in TABLES:
                    await _compare(importer, table, sent[table], step)
            await importer.finish()
        tables = {table: CopiedRows(sum_.count, sum_.digest) for table, sum_ in sent.items()}
        return MigrationResult(importer.name, settings.shards, tables)
    finally:
        await importer.close()


async def _copy(
    exporter: StoreExporter, importer: StoreImporter, table: Table, step: Step
) -> TableChecksum:
    """Copy one table; return the checksum of what has to be found there afterwards."""
    checksum, rows = TableChecksum(), exporter.rows(table)
    while batch := list[Row](islice(rows, _BATCH)):
        for row in await importer.take(table, batch, checksum.count):
            checksum.add(*row)
        step(len(batch))
    return checksum


async def _compare(importer: StoreImporter, table: Table, sent: TableChecksum, step: Step) -> None:
    found = TableChecksum()
    async for rows in importer.rows(table):
        for row in rows:
            found.add(*row)
        step(len(rows))
    if (found.count, found.digest) != (sent.count, sent.digest):
        detail = (
            f"what the database holds of {table} is not what was copied ({found.count:,} rows of "
            f"{sent.count:,}): another program has written to one of the two; drop the database "
            "and start again"
        )
        raise Conflict(detail, code="not_the_same")


def _report(output: Output, folder: DataFolder, made: MigrationResult) -> None:
    if output.is_json:
        output.record(made)
    else:
        counts = ", ".join(f"{copied.rows:,} {table}" for table, copied in made.tables.items())
        output.say(Text.assemble(("✔ ", "green"), f"copied and compared: {counts}"))
        for table, copied in made.tables.items():
            output.say(Text(f"  {table:<11} sha-256 {copied.digest}", "dim"))
    keys = folder.service_keys_file
    output.note(
        f"Give every process the setting [database] url, shards = {made.shards}, and the service "
        f"keys: {keys} was not copied, and without it no token stays valid (service_keys_file). "
        "The API keys were copied. Clients that follow all jobs of an owner must start again: "
        "places in the stream of the old store are not valid in the new one."
    )


@contextmanager
def _bar(verb: str, total: int) -> Iterator[Step]:
    """Show progress on standard error, at a terminal only."""
    columns = (TextColumn(f"{verb:<9}", style="dim"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda rows: bar.advance(task, rows)
