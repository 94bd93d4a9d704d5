"""
The contract of a dialect: one folder, and one line among the entry points of its distribution.

    [project.entry-points."jobwire.dialects"]
    greetings = "greetings:PLUGIN"

`PLUGIN` is a `DialectPlugin`: what is known of a dialect before it runs. It names the class of the
`ForeignDialect`, which the service makes with a `DialectContext`. Both stand in the dialect's own
folder, with all that is only its own. A dialect calls `jobwire.actors.operations`, and keeps its
state in `DialectContext.records`; it imports no other dialect, and nobody imports it.

This module imports no HTTP library: the command line reads plug-ins for its help.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import (
    TYPE_CHECKING,
    Final,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    runtime_checkable,
)

from jobwire.actors.runtime.actor import Actor
from jobwire.actors.runtime.mounting import Mounting

if TYPE_CHECKING:
    from aiohttp import web
    from yarl import URL

    from jobwire.actors.dialects.documentation import DialectDocumentation
    from jobwire.actors.dialects.request_guard import RequestGuard
    from jobwire.actors.messaging.entry_feed import EntryFeed
    from jobwire.actors.operations import Operations
    from jobwire.actors.operations.records import DialectRecords
    from jobwire.actors.runtime.settings import Settings
    from jobwire.actors.runtime.telemetry import Telemetry
    from jobwire.actors.transports.base import Transport
    from jobwire.schemas.cursors import Cursors
    from jobwire.schemas.deliveries import Subscription
    from jobwire.schemas.errors import JobwireError
    from jobwire.schemas.jobs import Entry, Job

#: Bytes of the largest header that a port reads, unless a dialect on it needs a larger one.
HEADER_BYTES: Final = 8_190

Own = TypeVar("Own", bound=Mounting)

Missing = Callable[[], Awaitable[Sequence[str]]]
"""Names the parts that the service lacks now."""


class Notice(NamedTuple):
    """The message to a receiver about an entry, in the format that it expects."""

    body: bytes
    """Sent byte for byte with every try."""
    method: Literal["POST", "PUT"] = "POST"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    """Sent beside those of Standard Webhooks, which every callback has."""
    signer: str = ""
    """The name of the `Signer` whose `Authorization` every try carries; empty: nobody's."""
    in_order: bool = False
    """Whether it waits for what came before it, unless the next try of that is far."""
    lenient: bool = False
    """
    Whether receivers never learned to answer well: then each answer counts as taken that does not
    ask for another try, which 401, 408, 425, 429 and all from 500 on do.
    """


class Signer(Protocol):
    """Adds to callbacks the `Authorization` that their receivers require."""

    def authorization(self, method: str, url: URL, challenges: Sequence[str]) -> str | None:
        """
        Return the header for one request; None: it goes without.

        Args:
            method: of the request.
            url: where it goes.
            challenges: the `WWW-Authenticate` of the answer 401 that a request just got; none of
                them for the first request of a try.

        """


class DialectActor(NamedTuple):
    """An actor that works for a dialect behind the gateway."""

    make: Callable[[], Actor]
    role: str = ""
    """
    The role under which one process of the installation runs it at a time, while the others stand
    by; empty: every process with a gateway runs its own.
    """


class Dialect(Protocol):
    """
    One HTTP language.

    Implementations inherit from this class, or from `ForeignDialect`: what they do not need has a
    default.
    """

    name: str
    header_bytes: int = HEADER_BYTES
    """
    The largest header that its clients send. A port reads headers as large as the largest that one
    of its dialects names.
    """

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the routes, relative to where the dialect is mounted."""

    def problem(self, error: JobwireError) -> web.Response:
        """Return what went wrong in the form that this dialect's clients expect."""

    def actors(self) -> Sequence[DialectActor]:
        """Return what works for it behind the gateway while it is enabled."""
        return ()


@runtime_checkable
class ForeignDialect(Dialect, Protocol):
    """
    The HTTP interface of another system, whose clients move here by changing a base URL.

    The gateway mounts it under `/compat/<name>` and, if the settings say so, alone at the root of
    a port of its own; its routes are the same at both. URLs that it hands out begin with
    `base_url(request)`.

    It is made in every process, enabled or not. While it is not enabled, its routes and its actors
    are left out, and what it promised before is kept: callbacks in its format, and native routes.
    """

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        """
        Return the message to a receiver about an entry; None: nothing is sent.

        It is asked once for each entry and subscription of a job that was made in this dialect
        (`Jobs.create(..., dialect=name)`). The job may be later than the entry.
        """

    def signers(self) -> Mapping[str, Signer]:
        """Return the signers that its notices name; the name of one begins with the dialect's."""
        return {}

    def native_routes(self) -> Iterable[web.RouteDef]:
        """Return what it adds to the native API, such as records for its administrators."""
        return ()


@dataclass(frozen=True, kw_only=True)
class DialectContext(Generic[Own]):
    """What a dialect is made with."""

    own: Own
    """Its own settings."""
    settings: Settings
    operations: Operations
    """All that clients may ask."""
    records: DialectRecords
    """The state that the dialect keeps."""
    guard: RequestGuard
    """Lets requests in."""
    transport: Transport
    """For its actors."""
    feed: EntryFeed
    """The entries that are committed, for its actors too."""
    identity: bytes
    """A secret of the installation, for ids and tokens that are the same in every process."""
    cursors: Cursors
    clock: Callable[[], datetime]
    not_ready: Missing
    telemetry: Telemetry


class DialectCommand(NamedTuple):
    """A command that a dialect adds to the command line; it is imported when it is called."""

    target: str
    """The click command, as `module:attribute`."""
    section: str
    """Under which heading of `jobwire --help` it stands, such as `Records`."""
    summary: str
    """One sentence for the help."""


@dataclass(frozen=True, kw_only=True)
class DialectPlugin:
    """
    What is known of a dialect before it runs; the entry point of its name leads here.

    It stands in the `__init__.py` of the dialect's folder, which imports nothing but this module
    and the settings. Everything else is named as `module:attribute`, and imported at its first use.
    """

    name: str
    """An identifier in lower case; the entry point has the same name."""
    title: str
    """What people call it."""
    dialect: str
    """The class of the dialect; it takes a `DialectContext`."""
    settings: type[Mounting] = Mounting
    """What `[dialects.<name>]` is read into, with a docstring for each field."""
    commands: Mapping[str, DialectCommand] = field(default_factory=dict)
    """Its commands by their names."""
    documentation: str = ""
    """A `DialectDocumentation`, for the pages of the reference; empty if the dialect has none."""
    unprefixed_kinds: frozenset[str] = frozenset()
    """
    Kinds of its records that are stored without its name before them: those that it wrote when
    kinds had no such names.
    """

    def build(self, context: DialectContext[Mounting]) -> Dialect:
        """Make the dialect."""
        made: Dialect = pkgutil.resolve_name(self.dialect)(context)
        return made

    def document(self) -> DialectDocumentation | None:
        """Return what the reference says of it."""
        if not self.documentation:
            return None
        found: DialectDocumentation = pkgutil.resolve_name(self.documentation)
        return found
