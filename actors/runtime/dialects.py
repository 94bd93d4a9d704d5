"""What can be set of the languages of other systems that the gateway speaks."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.foreign_actors import ActorName

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+)):([0-9]{1,5})")
_MOST_PORT = 65_535


class Mounting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a dialect is spoken, and where."""

    enabled: bool = False
    """Whether the gateway speaks it, under `/compat/` and its name."""
    listen: str | None = None
    """
    `host:port` at which it is alone, at the root, for clients that cannot take a path before their
    own; port 0 takes a free one.
    """
    public_url: str | None = None
    """Base of the URLs that are handed out at `listen`; default: the address that a client used."""

    @property
    def address(self) -> tuple[str, int] | None:
        """
        Host and port of `listen`.

        Raises:
            Misconfigured: it is no address.

        """
        if self.listen is None:
            return None
        found = _ADDRESS.fullmatch(self.listen)
        if found is None or int(found[3]) > _MOST_PORT:
            detail = f"setting: listen = {self.listen!r} is not host:port, such as 127.0.0.1:9998"
            raise Misconfigured(detail)
        return found[1] or found[2], int(found[3])


_HttpUrl = Annotated[
    str, Meta(max_length=2048, pattern=r"(?#an http or https URL)^https?://[^\s/?#][^\s]*(?!\n)$")
]


class PipelineJobs(Mounting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The SD2E PipelineJobs manager behind the actor API of Abaco."""

    actors: tuple[ActorName, ...] = ("jobs-manager",)
    """
    Names at which every owner finds an actor for the jobs that are theirs; others are made with
    `jobwire actors create`.
    """
    tenant: ActorName = "JOBWIRE"
    """What nonces begin with."""
    early: Literal["refuse", "park", "imply"] = "refuse"
    """
    What becomes of an event that comes before the one that it needs, such as `finish` before
    `run`: it is refused, it waits until it fits, or the missing `run` is put in with a mark.
    """
    park_s: Annotated[float, Meta(ge=1, le=365 * 86_400)] = 86_400
    """How long such an event waits at the most; then it is refused, and its execution fails."""
    delete_by: Literal["token", "administrator"] = "token"
    """Who may delete a job by message: whoever has its token, or administrators only."""
    strict_upstream: bool = False
    """
    Answer 200 also to what is refused, as the original does; the execution says that it failed.
    """
    admin_token_s: Annotated[float, Meta(ge=30, le=86_400)] = 3_600
    """How long an administrator's token is good at least; twice as long at the most."""
    events_hub: _HttpUrl | None = None
    """URL that is told of each event that is applied to a job that was made in this dialect."""
    indexer: _HttpUrl | None = None
    """URL that is told of each `index` and `indexed` of such a job."""


#: Text that can stand between quotes in a header.
_Quotable = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"(?#ASCII without quotes and backslashes)^[\x20-\x21\x23-\x5b\x5d-\x7e]*(?!\n)$",
    ),
]
_PlainText = Annotated[
    str, Meta(min_length=1, pattern=r"(?#ASCII without blanks)^[\x21-\x7e]*(?!\n)$")
]


class MacCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key by which callbacks are signed as MAC Access Authentication says."""

    id: _Quotable
    key: _PlainText
    """Taken as the text that it is, also where it looks encoded."""
    scope: str
    """URL: callbacks to its host and port, below its path, are signed."""
    algorithm: Literal["hmac-sha-1", "hmac-sha-256"] = "hmac-sha-1"


class BasicCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user and a password that callbacks are sent with at once."""

    username: Annotated[
        str, Meta(min_length=1, pattern=r"(?#one line without a colon)^[^:\x00-\x1f\x7f]*(?!\n)$")
    ]
    password: Annotated[str, Meta(pattern=r"(?#one line)^[^\x00-\x1f\x7f]*(?!\n)$")]
    scope: str
    """URL: callbacks to its scheme, host and port, below its path, carry it."""


class Joblauncher(Mounting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The joblauncher of NLeSC, later osmium: `/job` with PUT callbacks."""

    owner: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """
    Principal of requests without a key, while the service listens on loopback and has no public
    URL; default: every request needs an API key, as Bearer or as the password of Basic.
    """
    launchers: dict[str, str] = {}
    """Names that requests may give as `launcher`, each with its site; default: `local`."""
    default_launcher: str | None = None
    """The launcher of a request that names none; default: the first one."""
    max_run_s: Annotated[float, Meta(gt=0, le=365 * 86_400)] = 3_600
    """Longest time that a job runs, and the largest `max_time`; over it: KILLED."""
    max_wait_s: Annotated[float, Meta(gt=0, le=365 * 86_400)] | None = None
    """Longest time that a job waits for its start, staging included; over it: KILLED."""
    stored_within_s: Annotated[float, Meta(gt=0, le=3_600)] = 60
    """
    Longest time that a submission waits until its job is stored, where a broker does not confirm it
    or takes in more than the store; over it: 503, and the job is cancelled.
    """
    keep_paths: bool = False
    """
    Whether files keep their path below `jobdir` in the job's directory; else only the last name
    counts.
    """
    correct_spelling: bool = False
    """Whether status documents have `schedulerSpecificInformation` beside its misspelt twin."""
    challenge_only: bool = False
    """Whether MAC is sent on a challenge only, as the original did; else at once where in scope."""
    macs: tuple[MacCredential, ...] = ()
    """Credentials `id`, `key`, `scope` and `algorithm` (`hmac-sha-1` or `hmac-sha-256`)."""
    basic: tuple[BasicCredential, ...] = ()
    """Credentials `username`, `password` and `scope`."""


class Dialects(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The languages of other systems, by their names."""

    pipelinejobs: PipelineJobs = field(default_factory=PipelineJobs)
    joblauncher: Joblauncher = field(default_factory=Joblauncher)

    def all(self) -> dict[str, Mounting]:
        """Return what is set of each."""
        return {name: getattr(self, name) for name in self.__struct_fields__}
