"""Everything that can be set, with its default and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from jobwire.actors.runtime.mounting import Mounting
from jobwire.schemas.specs import SiteName

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What bounds each input; every one has its clear answer."""

    body_bytes: Positive = 1_048_576
    """Largest request body after decompression; over it: 413."""
    ndjson_bytes: Positive = 8_388_608
    """Largest NDJSON body; over it: 413."""
    ndjson_lines: Positive = 10_000
    """Most lines of one NDJSON request; over it: 413."""
    spec_bytes: Positive = 524_288
    """Largest `spec` of one job; over it: 413."""
    callbacks_per_job: Positive = 16
    """Most callbacks of one job; over it: 422."""
    selection: Positive = 100_000
    """Most jobs that one request cancels, holds or releases; the rest needs another request."""
    data_bytes: Positive = 65_536
    """Largest `data` of one event or job; over it: 413."""
    events_per_job: Positive = 100_000
    """Most history entries of one job; later ones that change no state go to `refused`."""
    tags_per_job: Positive = 32
    """Most tags of one job; over it: 422."""
    lifecycles_per_owner: Positive = 200
    """Most registered lifecycle versions of one owner; over it: 429."""
    streams_per_owner: Positive = 100
    """Most open event streams of one owner; over it: 429."""
    connections: Positive = 2_000
    """Most open connections of all clients together; over it: 503, and the connection is closed."""
    jobs_per_minute: Positive = 60_000
    """Most jobs that one owner creates in a minute; over it: 429."""
    failed_logins_per_minute: Positive = 120
    """Most refused keys and tokens from one address in a minute; over it: 429."""
    request_s: Seconds = 20
    """Longest time that a client may take to send a body; over it: 408."""
    keepalive_s: Seconds = 60
    """How long an idle connection stays open."""
    database_bytes: Annotated[int, Meta(ge=0)] = 0
    """Largest database file of the embedded store, 0 for no limit; over it: 503."""


class LocalSite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The site `local`: jobs that run on this machine."""

    enabled: Literal["auto", "yes", "no"] = "auto"
    """
    Whether jobs run here as this service's user; `auto`: only while it listens on loopback and has
    no `public_url`.
    """
    slots: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Cores for jobs, all together; 0: as many as the machine has."""
    folder: str | None = None
    """Folder of the jobs' sandboxes; default: `sandboxes` in the data folder."""
    grace_s: Seconds = 10
    """Time between SIGTERM and SIGKILL for a job that is being ended."""
    lost_after_s: Seconds = 60
    """How long a job that cannot be found stays UNKNOWN before it is LOST."""
    file_bytes: Annotated[int, Meta(ge=0)] = 0
    """Largest file that a job may write, 0 for no limit."""
    open_files: Annotated[int, Meta(ge=16)] = 4_096
    """Most files that a process of a job may have open."""

    def as_site(self) -> SiteSettings:
        """Return the same as the settings of the site `local`."""
        return SiteSettings(
            name="local",
            folder=self.folder,
            slots=self.slots,
            grace_s=self.grace_s,
            lost_after_s=self.lost_after_s,
            file_bytes=self.file_bytes,
            open_files=self.open_files,
        )


class SiteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One site: its host, its batch system and its limits."""

    name: SiteName
    """Name of the site, as in `spec.site`."""
    batch: str = "local"
    """Batch system that starts the jobs; others than `local` come with plug-ins."""
    address: str | None = None
    """URL of the host, for a plug-in that is named by its scheme; default: this machine."""
    folder: str | None = None
    """Folder of the jobs' sandboxes; default here: `sandboxes-NAME` in the data folder."""
    slots: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """
    Cores for jobs, all together; 0: as many as the machine has, or no limit if the batch system has
    a queue.
    """
    starts: Positive = 8
    """Number of jobs that are submitted to the queue of the batch system at the same time."""
    interval_s: Annotated[float, Meta(gt=0)] = 15
    """Time between two queries for the states of all jobs in the queue of the batch system."""
    callback_url: str | None = None
    """URL of the service for its jobs; default: `public_url`, or the address listened on."""
    grace_s: Seconds = 10
    """Time between SIGTERM and SIGKILL for a job that is being ended."""
    lost_after_s: Seconds = 60
    """How long a job that cannot be found stays UNKNOWN before it is LOST."""
    file_bytes: Annotated[int, Meta(ge=0)] = 0
    """Largest file that a job may write, 0 for no limit."""
    open_files: Annotated[int, Meta(ge=16)] = 4_096
    """Most files that a process of a job may have open."""


class StagingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files that are copied in and out."""

    roots: tuple[str, ...] = ()
    """
    Directories from and to which files may be staged, in addition to each owner's own folder;
    `{owner}` stands for the owner.
    """
    file_bytes: Positive = 1_099_511_627_776
    """Largest single file that is copied; over it: the job fails with the cause `staging`."""
    job_bytes: Positive = 4_398_046_511_104
    """Most bytes that are copied for one job, in or out."""
    job_files: Positive = 100_000
    """Most files that are copied for one job, in or out."""
    parallel: Positive = 4
    """Number of jobs whose files are copied at the same time."""


class CallbackSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How callbacks are sent."""

    schedule_s: tuple[float, ...] = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
    """Pause before each try, including the first; after the last try a delivery is given up."""
    timeout_s: Annotated[float, Meta(gt=0)] = 15
    """Longest time of one try."""
    disable_after_s: Seconds = 432_000
    """A receiver that has only failed for this long gets no further tries."""
    allow: tuple[str, ...] | None = None
    """
    Networks (CIDR) to which callbacks may go, in addition to public addresses; default:
    127.0.0.0/8 while the service listens on loopback and has no `public_url`, else none.
    """
    parallel: Positive = 64
    """Concurrent tries, to all receivers together; one owner gets at most half of them."""
    parallel_per_endpoint: Positive = 4
    """Concurrent tries to one receiver."""
    keep_s: Seconds = 2_592_000
    """How long deliveries stay listed after their last try."""


class Broker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message broker between the actors of several processes."""

    url: str | None = None
    """
    `amqp://` or `amqps://` with user, password and virtual host; without it every actor is in one
    process.
    """


class Database(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database that actors in several processes share."""

    url: str | None = None
    """
    `mongodb://` or `mongodb+srv://` of a replica set, with the name of the database; without it
    everything is in one file of the data folder.
    """
    driver: Literal["motor", "pymongo"] = "motor"
    """
    The client library: motor, whose critical fixes end on 14 May 2027, or PyMongo's own
    asynchronous client.
    """


class Health(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a process without a gateway reports its health."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8641
    """Port to listen on; 0 takes a free one."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, with its default."""

    host: str = "127.0.0.1"
    """Address that the gateway listens on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8640
    """Port that the gateway listens on; 0 takes a free one."""
    public_url: str | None = None
    """Base of webhook URLs and of links in answers; default: the address of the gateway."""
    shards: Annotated[int, Meta(ge=1, le=256)] = 1
    """
    Number of event queues; fixed at the first start. State managers share them, so at most this
    many work at the same time.
    """
    grace_s: Seconds = 20
    """How long a stopping process may take to finish its work in progress."""
    answer_s: Seconds = 5
    """How long an event may wait to be stored before its sender is answered 503."""
    token_overlap_s: Seconds = 3600
    """
    How long the previous token stays valid after a rotation, unless the request says otherwise.
    """
    reaper_interval_s: Annotated[float, Meta(gt=0)] = 1
    """Interval at which the reaper looks for stale jobs."""
    log_level: str = "warning"
    """Least important level that is logged: debug, info, warning or error."""
    secrets_folder: str | None = None
    """
    Folder of the jobs' secrets, one file each: `<owner>/<name>`; default: `secrets` in the data
    folder.
    """
    service_keys_file: str | None = None
    """
    The secrets that all processes of an installation share; default: `service-keys` in the data
    folder.
    """
    api_key_file: str | None = None
    """The first API key; default: `api-key` in the data folder."""
    keep_jobs_s: Seconds = 0
    """How long a job is kept after its end, with its history; 0: for ever."""
    broker: Broker = field(default_factory=Broker)
    database: Database = field(default_factory=Database)
    health: Health = field(default_factory=Health)
    limits: Limits = field(default_factory=Limits)
    local: LocalSite = field(default_factory=LocalSite)
    sites: tuple[SiteSettings, ...] = ()
    """Sites beside `local`."""
    staging: StagingSettings = field(default_factory=StagingSettings)
    callbacks: CallbackSettings = field(default_factory=CallbackSettings)
    dialects: Mapping[str, Mounting] = field(default_factory=dict)
    """What is set of dialects, by their names, each in the record of its dialect."""

    @property
    def is_private(self) -> bool:
        """Whether only this machine reaches the service, also not through a proxy."""
        mounted = [each for each in self.dialects.values() if each.enabled]
        has_public_url = self.public_url or any(each.public_url for each in mounted)
        return self.is_on_loopback and not has_public_url

    @property
    def is_on_loopback(self) -> bool:
        """Whether the service listens on this machine only, with every port that it has."""
        enabled = [each.address for each in self.dialects.values() if each.enabled]
        return all(_is_loopback(host) for host in (self.host, *(at[0] for at in enabled if at)))

    @property
    def runs_jobs(self) -> bool:
        """Whether jobs run on this machine, as the user of the service."""
        enabled = self.local.enabled
        return enabled == "yes" or (enabled == "auto" and self.is_private)

    def repeated_site(self) -> str | None:
        """Return the name of a site that is set twice."""
        names = ["local", *(each.name for each in self.sites)]
        return next((name for name in names if names.count(name) > 1), None)

    @property
    def may_call(self) -> tuple[str, ...]:
        """The networks that callbacks may go to beside public addresses."""
        if self.callbacks.allow is not None:
            return self.callbacks.allow
        return ("127.0.0.0/8",) if self.is_private else ()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
