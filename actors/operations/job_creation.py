"""What a client asks for when it makes a job, checked: all that can be said before it exists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct, structs

from jobwire.actors.operations.lifecycles import Lifecycles
from jobwire.actors.roles.live_levels import LiveLevels
from jobwire.actors.runtime.secrets import JobSecrets
from jobwire.actors.runtime.settings import Limits
from jobwire.actors.sites import Site
from jobwire.actors.staging_roots import StagingRoots, folder_name
from jobwire.actors.stores.base import Store
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.errors import Invalid, TooLarge
from jobwire.schemas.identifiers import JobId, Name, Tag, parse_job_id
from jobwire.schemas.jobs import JobCreation, Plan
from jobwire.schemas.lifecycle import CREATE, RESERVED, Lifecycle
from jobwire.schemas.principals import Principal
from jobwire.schemas.specs import Secret, Spec, check

Period = Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)]

#: The lifecycle of jobs that the service runs itself.
EXECUTION = "execution"
_ELSEWHERE = "pipeline"


#: Fields that later releases put behind the others: unset, they must not make a request another.
_LATER = frozenset({"dialect", "start_within_s", "clean_after_problem_s"})


class JobRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job that runs elsewhere or, with `spec`, one that the service runs."""

    lifecycle: str | None = None
    """Default: `execution` for a job with `spec`, else `pipeline`."""
    name: Name | None = None
    tags: tuple[Tag, ...] = ()
    data: Raw = Raw()
    deadline_s: Period | None = None
    heartbeat_s: Period | None = None
    parent: str | None = None
    callbacks: tuple[Callback, ...] = ()
    spec: Spec | None = None
    start_after: datetime | None = None
    """With `spec`: the job does not start before this time."""
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    """With `spec`: of an owner's waiting jobs, those with a higher priority start first."""
    hold: bool = False
    """With `spec`: nothing of the job starts before it is released."""
    start_within_s: Period | None = None
    """With `spec`: a job that has not started this long after its creation fails: `waited`."""


class JobCreator:
    """Makes the creation record of each request; refuses what could never work."""

    def __init__(
        self,
        *,
        store: Store,
        lifecycles: Lifecycles,
        sites: Mapping[str, Site],
        roots: StagingRoots,
        secrets: JobSecrets,
        limits: Limits,
        levels: LiveLevels,
    ) -> None:
        """Check against what is there: lifecycles, sites, roots, secrets, and older releases."""
        self._levels = levels
        self._store = store
        self._lifecycles = lifecycles
        self._sites = sites
        self._roots = roots
        self._secrets = secrets
        self._limits = limits

    async def of(
        self,
        principal: Principal,
        request: JobRequest,
        *,
        retry_of: JobId | None = None,
        dialect: str = "",
    ) -> JobCreation:
        """
        Return the creation record of a request.

        Args:
            principal: who will own the job.
            request: what is asked for.
            retry_of: the job that it is another try of.
            dialect: the one that the request was made in, and in which receivers are told.

        Raises:
            Invalid: a field is wrong; the pointer names it.
            Upgrading: a release that is alive could not read it.

        """
        lifecycle = await self._lifecycle(principal, request)
        self._check_watch(lifecycle, request)
        tags = tuple(dict.fromkeys(request.tags))
        if len(tags) > self._limits.tags_per_job:
            raise Invalid(
                f"a job has at most {self._limits.tags_per_job} tags",
                pointer="/tags",
                limit=self._limits.tags_per_job,
            )
        self._check_callbacks(lifecycle, request)
        plan = self._plan(principal, request)
        if request.spec is not None:
            await self._levels.require(request.spec.invocation.level, "the spec")
        return JobCreation(
            owner=principal.name,
            lifecycle=lifecycle.name,
            lifecycle_version=lifecycle.version,
            name=request.name,
            tags=tags,
            parent=await self._parent(principal, request.parent),
            deadline_s=request.deadline_s,
            heartbeat_s=request.heartbeat_s,
            plan=plan,
            retry_of=retry_of,
            spec=request.spec,
            dialect=dialect,
        )

    async def _lifecycle(self, principal: Principal, request: JobRequest) -> Lifecycle:
        name = request.lifecycle or (EXECUTION if request.spec else _ELSEWHERE)
        if (name == EXECUTION) != (request.spec is not None):
            what = "needs a spec" if request.spec is None else "takes none"
            detail = f"the lifecycle {name!r} {what}: 'execution' is for jobs with a spec"
            pointer = "/spec" if request.spec is None else "/lifecycle"
            raise Invalid(detail, pointer=pointer)
        for field in ("start_after", "priority", "hold", "start_within_s"):
            if getattr(request, field) and request.spec is None:
                detail = f"{field} applies only to jobs with a spec"
                raise Invalid(detail, pointer=f"/{field}")
        lifecycle = await self._lifecycles.newest(principal.name, name)
        if lifecycle is None:
            raise Invalid(
                f"there is no lifecycle {name!r}", pointer="/lifecycle", code="unknown_lifecycle"
            )
        return lifecycle

    def _check_watch(self, lifecycle: Lifecycle, request: JobRequest) -> None:
        watched = (
            "deadline_s" if request.deadline_s else "heartbeat_s" if request.heartbeat_s else None
        )
        if watched and lifecycle.stale_event is None:
            detail = (
                f"the lifecycle {lifecycle.name!r} names no "
                f"stale_event, so {watched} would have no effect"
            )
            raise Invalid(detail, pointer=f"/{watched}")

    def _check_callbacks(self, lifecycle: Lifecycle, request: JobRequest) -> None:
        most = self._limits.callbacks_per_job
        if len(request.callbacks) > most:
            detail = f"a job has at most {most} callbacks"
            raise Invalid(detail, pointer="/callbacks", limit=most)
        events = {*lifecycle.events, CREATE, *RESERVED}
        for index, callback in enumerate(request.callbacks):
            for field, known in (("states", lifecycle.states), ("events", events)):
                for name in getattr(callback, field):
                    if name not in known:
                        detail = f"the lifecycle {lifecycle.name!r} has no {name!r} in its {field}"
                        raise Invalid(detail, pointer=f"/callbacks/{index}/{field}")

    def _plan(self, principal: Principal, request: JobRequest) -> Plan | None:
        spec = request.spec
        if spec is None:
            return None
        size = len(msgspec.json.encode(spec))
        if size > self._limits.spec_bytes:
            detail = f"spec has {size} bytes, more than {self._limits.spec_bytes}"
            raise TooLarge(detail, pointer="/spec", limit=self._limits.spec_bytes)
        check(spec)
        self._check_site(spec)
        self._check_files(principal.name, spec)
        self._check_secrets(principal.name, spec)
        retries = spec.retries
        return Plan(
            stage_in=spec.brings_in(),
            stage_out=bool(spec.stage_out),
            tries=retries.max + 1,
            retry_on=tuple(retries.on),
            backoff_s=retries.backoff_s,
            backoff_factor=retries.factor,
            site=spec.site,
            priority=request.priority,
            start_after=_utc(request.start_after),
            held=request.hold,
            clean_when=spec.clean_up.when,
            clean_after_s=spec.clean_up.after_s,
            cores=spec.resources.cores,
            start_within_s=request.start_within_s,
            clean_after_problem_s=spec.clean_up.after_problem_s,
        )

    def _check_site(self, spec: Spec) -> None:
        site = self._sites.get(spec.site)
        if site is None:
            known = ", ".join(sorted(self._sites)) or "none; the setting local.enabled allows one"
            detail = f"no site {spec.site!r} runs jobs; known sites: {known}"
            raise Invalid(detail, pointer="/spec/site", code="not_runnable")
        if site.slots is not None and spec.resources.cores > site.slots:
            detail = f"the site {site.name!r} has {site.slots} cores, fewer than requested"
            raise Invalid(detail, pointer="/spec/resources/cores", limit=site.slots)

    def _check_files(self, owner: str, spec: Spec) -> None:
        if spec.directory is not None:
            self._roots.resolve(owner, spec.directory, None, "/spec/directory")
        for index, source in enumerate(spec.stage_in):
            pointer = f"/spec/stage_in/{index}/from"
            self._roots.resolve(owner, source.source, spec.directory, pointer)
        for index, target in enumerate(spec.stage_out):
            pointer = f"/spec/stage_out/{index}/to"
            self._roots.resolve(owner, target.target, spec.directory, pointer)

    def _check_secrets(self, owner: str, spec: Spec) -> None:
        for variable, value in spec.env.items():
            if isinstance(value, Secret) and not self._secrets.has(
                folder_name(owner), value.secret
            ):
                detail = f"{owner!r} has no secret {value.secret!r}"
                raise Invalid(detail, pointer=f"/spec/env/{variable}/secret", code="unknown_secret")

    async def _parent(self, principal: Principal, parent: str | None) -> JobId | None:
        if parent is None:
            return None
        found = await self._store.get(principal.name, parse_job_id(parent, "/parent"))
        if found is None:
            raise Invalid(
                "there is no job with the id in parent", pointer="/parent", code="unknown_parent"
            )
        return found.id


def _utc(moment: datetime | None) -> datetime | None:
    """Return a moment in UTC; one without a zone counts as UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def comparable(creation: JobCreation) -> list[Any]:
    """
    Return a creation record as two requests under one idempotency key are compared.

    A digest of it is stored with each job, so it says of a request for ever what it said when the
    request was first sent: a field of a later release is in it only where it is set.
    """
    fields = _set_or_early(creation)
    if creation.plan is not None:
        fields["plan"] = list(_set_or_early(creation.plan).values())
    return list(fields.values())


def _set_or_early(record: Struct) -> dict[str, Any]:
    fields = structs.asdict(record)
    return {name: each for name, each in fields.items() if each or name not in _LATER}
