"""What a client may ask about jobs: make, read, list, delete, and change their token."""

from __future__ import annotations

import secrets
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct, structs

from actors.operations.events import Events
from actors.operations.lifecycles import Lifecycles
from actors.runtime.quota import Quota
from actors.stores.base import After, Count, JobFilter, Store
from schemas.cursors import Cursors
from schemas.errors import Conflict, Invalid, NotFound, TooManyRequests, Unavailable
from schemas.events import payload_digest
from schemas.identifiers import JobId, Name, Tag, derived_job_id, parse_job_id, random_job_id
from schemas.jobs import Birth, Entry, Job
from schemas.lifecycle import CREATE, DELETE, ROTATE
from schemas.outcomes import Outcome, Reason
from schemas.principals import Principal
from schemas.tokens import Keyring, mint_token

#: How long a creation, a deletion or a rotation waits for its commit.
_COMMIT_S = 5.0

Period = Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)]


class JobRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client asks for when it makes a job that runs elsewhere."""

    lifecycle: str = "pipeline"
    name: Name | None = None
    tags: tuple[Tag, ...] = ()
    data: Raw = Raw()
    deadline_s: Period | None = None
    heartbeat_s: Period | None = None
    parent: str | None = None


class NewJob(NamedTuple):
    """A job that was made, or was there under the same idempotency key."""

    id: JobId
    token: str
    state: str
    is_repeat: bool


class Page(NamedTuple):
    """One page of jobs and the cursor of the next."""

    jobs: list[Job]
    cursor: str | None


class Jobs:
    """Makes and reads jobs; every call is one owner's."""

    def __init__(
        self,
        *,
        store: Store,
        events: Events,
        lifecycles: Lifecycles,
        keyring: Keyring,
        identity: bytes,
        quota: Quota,
        most_tags: int,
    ) -> None:
        """Read from a store; change by events only."""
        self._store = store
        self._events = events
        self._lifecycles = lifecycles
        self._keyring = keyring
        self._identity = identity
        self._cursors = Cursors(identity)
        self._quota = quota
        self._most_tags = most_tags

    async def create(
        self, principal: Principal, request: JobRequest, idempotency_key: str | None
    ) -> NewJob:
        """
        Make a job; return when it is on disk.

        The same idempotency key of the same owner gives the same job; its event id makes it count
        once.

        Raises:
            Invalid: a field is wrong, or the key was used with another request.
            Conflict: the job of this key has been deleted.
            TooManyRequests: the owner makes jobs too fast.

        """
        birth = await self._birth(principal, request)
        if not self._quota.admit(principal.name):
            raise TooManyRequests(
                "this owner makes jobs too fast",
                code="job_rate",
                retry_after_s=self._quota.retry_after_s,
            )
        if idempotency_key is None:
            job, event_id = random_job_id(secrets.token_bytes(16)), CREATE
        else:
            job, event_id = (
                derived_job_id(self._identity, principal.name, idempotency_key),
                f"{CREATE}:{idempotency_key}",
            )
        event = self._events.build(
            job=job,
            name=CREATE,
            principal=principal,
            data=bytes(request.data) or None,
            event_id=event_id,
            birth=birth,
        )
        # The whole request is the payload: the same key with another one is an error, not a
        # repetition.
        asked = msgspec.json.encode(
            structs.replace(birth, lifecycle_version=0), order="deterministic"
        )
        digest = payload_digest(CREATE, asked + event.digest)
        outcome = await self._events.post(structs.replace(event, digest=digest), _COMMIT_S)
        return self._new_job(job, outcome)

    def _new_job(self, job: JobId, outcome: Outcome | None) -> NewJob:
        if outcome is None:
            raise Unavailable(
                "the job is stored, but its state is not known "
                "yet; ask again with the same Idempotency-Key"
            )
        if outcome.verdict == "conflict":
            detail = "this Idempotency-Key was used before, with another request"
            raise Invalid(detail, code="idempotency_key_reused")
        if outcome.reason is Reason.DELETED:
            raise Conflict(
                "the job made with this Idempotency-Key has been deleted", code="job_deleted"
            )
        if outcome.verdict == "refused" or outcome.state is None:
            raise Conflict(f"the job could not be made: {outcome.reason}", code=str(outcome.reason))
        token = mint_token(self._keyring, job, outcome.generation)
        return NewJob(job, token, outcome.state, outcome.duplicate)

    async def _birth(self, principal: Principal, request: JobRequest) -> Birth:
        lifecycle = await self._lifecycles.newest(principal.name, request.lifecycle)
        if lifecycle is None:
            raise Invalid(
                f"there is no lifecycle {request.lifecycle!r}",
                pointer="/lifecycle",
                code="unknown_lifecycle",
            )
        if lifecycle.name == "execution":
            detail = "lifecycle 'execution' is for jobs that this service runs itself; it runs none"
            raise Invalid(detail, pointer="/lifecycle", code="not_runnable")
        watched = (
            "deadline_s" if request.deadline_s else "heartbeat_s" if request.heartbeat_s else None
        )
        if watched and lifecycle.stale_event is None:
            detail = (
                f"the lifecycle {lifecycle.name!r} names no "
                f"stale_event, so {watched} would do nothing"
            )
            raise Invalid(detail, pointer=f"/{watched}")
        tags = tuple(dict.fromkeys(request.tags))
        if len(tags) > self._most_tags:
            raise Invalid(
                f"a job has at most {self._most_tags} tags", pointer="/tags", limit=self._most_tags
            )
        return Birth(
            owner=principal.name,
            lifecycle=lifecycle.name,
            lifecycle_version=lifecycle.version,
            name=request.name,
            tags=tags,
            parent=await self._parent(principal, request.parent),
            deadline_s=request.deadline_s,
            heartbeat_s=request.heartbeat_s,
        )

    async def _parent(self, principal: Principal, parent: str | None) -> JobId | None:
        if parent is None:
            return None
        try:
            return (await self.get(principal, parse_job_id(parent, "/parent"))).id
        except NotFound as error:
            raise Invalid(
                "there is no job with the id in parent", pointer="/parent", code="unknown_parent"
            ) from error

    async def get(self, principal: Principal, job_id: JobId) -> Job:
        """
        Give one job.

        Raises:
            NotFound: unknown, deleted, or someone else's.

        """
        job = await self._store.get(principal.name, job_id)
        if job is None:
            raise NotFound("there is no job with this id", code="unknown_job")
        return job

    async def data(self, principal: Principal, job: Job) -> bytes | None:
        """Give the data that the job was made with."""
        entries = await self._store.history(principal.name, job.id, job.born - 1, 1)
        return entries[0].data if entries else None

    async def find(
        self, principal: Principal, which: JobFilter, cursor: str | None, limit: int
    ) -> Page:
        """
        Give a page of jobs, newest first.

        Raises:
            Invalid: the cursor belongs to another list.

        """
        listed = f"jobs {principal.name} {which!r}"
        after = self._cursors.read(cursor, listed, After) if cursor else None
        jobs = await self._store.find(principal.name, which, after, limit + 1)
        more = len(jobs) > limit
        page = jobs[:limit]
        return Page(
            page,
            self._cursors.write(After(page[-1].created, page[-1].id), listed) if more else None,
        )

    async def history(
        self, principal: Principal, job_id: JobId, cursor: str | None, limit: int
    ) -> tuple[list[Entry], str | None]:
        """Give a page of a job's entries, oldest first, and the cursor of the next."""
        job = await self.get(principal, job_id)
        listed = f"history {principal.name} {job.id}"
        after = self._cursors.read(cursor, listed, int) if cursor else job.born - 1
        entries = await self._store.history(principal.name, job.id, after, limit + 1)
        more = len(entries) > limit
        page = entries[:limit]
        return page, self._cursors.write(page[-1].seq, listed) if more else None

    async def delete(self, principal: Principal, job_id: JobId, *, force: bool) -> None:
        """
        Delete a job; a tombstone keeps its ids, so that late events stay late.

        Raises:
            NotFound: unknown, deleted, or someone else's.
            Conflict: it has not ended, and `force` was not given.

        """
        await self.get(principal, job_id)
        data = msgspec.json.encode({"force": force})
        await self._change(principal, job_id, DELETE, data)

    async def rotate_token(self, principal: Principal, job_id: JobId, overlap_s: float) -> str:
        """
        Begin a new token generation.

        The one before stays good for `overlap_s`; all older ones end now.

        Returns:
            The new token. Revoking is a rotation without overlap whose token is thrown away.

        """
        await self.get(principal, job_id)
        outcome = await self._change(
            principal, job_id, ROTATE, msgspec.json.encode({"overlap_s": overlap_s})
        )
        return mint_token(self._keyring, job_id, outcome.generation)

    async def _change(self, principal: Principal, job_id: JobId, name: str, data: bytes) -> Outcome:
        event = self._events.build(
            job=job_id, name=name, principal=principal, data=data, source="api"
        )
        outcome = await self._events.post(event, _COMMIT_S)
        if outcome is None:
            raise Unavailable(
                "the change is stored, but its outcome is not known yet", retry_after_s=1
            )
        if outcome.reason is Reason.STILL_RUNNING:
            detail = (
                f"the job is {outcome.state} and has not ended; add force to delete it all the same"
            )
            raise Conflict(detail, code=Reason.STILL_RUNNING)
        if outcome.verdict != "applied":
            raise NotFound("there is no job with this id", code="unknown_job")
        return outcome

    async def count(self, principal: Principal) -> list[Count]:
        """Count the owner's jobs by lifecycle and state."""
        return await self._store.count(principal.name)
