"""What a client may ask about jobs: make, read, list, delete, and change their token."""

from __future__ import annotations

import secrets
from typing import NamedTuple

import msgspec
from msgspec import structs

from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.operations.events import Events
from jobwire.actors.operations.files import Files
from jobwire.actors.operations.job_creation import JobCreator, JobRequest, comparable
from jobwire.actors.runtime.quota import Quota
from jobwire.actors.stores.base import Count, JobCursor, JobFilter, Store
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.deliveries import Subscription
from jobwire.schemas.errors import Conflict, Invalid, NotFound, TooManyRequests, Unavailable
from jobwire.schemas.events import payload_digest
from jobwire.schemas.identifiers import JobId, derived_job_id, random_job_id
from jobwire.schemas.jobs import Entry, Job, JobCreation
from jobwire.schemas.lifecycle import CREATE, DELETE, ROTATE
from jobwire.schemas.outcomes import Outcome, Reason
from jobwire.schemas.principals import Principal
from jobwire.schemas.specs import Spec
from jobwire.schemas.tokens import Keyring, mint_token

#: How long a creation, a deletion or a rotation waits for its commit.
_COMMIT_S = 5.0
#: Jobs of one state that are counted: a count looks at each of them.
_MOST_COUNTED = 10_000


class NewJob(NamedTuple):
    """A job that was made, or was there under the same idempotency key."""

    id: JobId
    token: str
    state: str | None
    """None: the job is safe, and not stored yet."""
    is_repeat: bool
    subscriptions: tuple[Subscription, ...]


class Origin(NamedTuple):
    """What a job was made with, beside what it is found by."""

    data: bytes | None
    spec: Spec | None


class JobPage(NamedTuple):
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
        creator: JobCreator,
        deliveries: Deliveries,
        files: Files,
        keyring: Keyring,
        identity: bytes,
        quota: Quota,
    ) -> None:
        """Read from a store; change by events only."""
        self._store = store
        self._events = events
        self._creator = creator
        self._deliveries = deliveries
        self._files = files
        self._keyring = keyring
        self._identity = identity
        self._cursors = Cursors(identity)
        self._quota = quota

    async def create(
        self,
        principal: Principal,
        request: JobRequest,
        idempotency_key: str | None,
        *,
        dialect: str = "",
        job: JobId | None = None,
        authorization: str = "",
    ) -> NewJob:
        """
        Make a job; return when it is on disk.

        The same idempotency key of the same owner gives the same job; its event id makes it count
        once. Callbacks have the format of the `dialect`. With `job` it gets that id, and
        one that is there already stays as it is: it is given as a repetition. Its receivers are
        told with that `authorization`, which is shown nowhere.

        Raises:
            Invalid: a field is wrong, or the key was used with another request.
            Conflict: the job of this key has been deleted.
            TooManyRequests: the owner makes jobs too fast.

        """
        creation = await self._creator.of(principal, request, dialect=dialect)
        return await self.make(
            principal, creation, request, idempotency_key, job=job, authorization=authorization
        )

    def derived_id(self, principal: Principal, key: str) -> JobId:
        """Return the one job id that belongs to a key of an owner; nobody else can compute it."""
        return derived_job_id(self._identity, principal.name, key)

    def token_of(self, job: Job) -> str:
        """Return the token of a job that is good now."""
        return mint_token(self._keyring, job.id, job.generation)

    def admits(self, job: Job, token: str) -> bool:
        """Return whether a token is valid for a job; the previous one may still be."""
        generation = self._keyring.generation(job.id, token)
        until = job.previous_token_until
        in_overlap = until is not None and self._events.now() <= until
        return generation == job.generation or (in_overlap and generation == job.generation - 1)

    async def make(
        self,
        principal: Principal,
        creation: JobCreation,
        request: JobRequest,
        idempotency_key: str | None,
        *,
        job: JobId | None = None,
        authorization: str = "",
    ) -> NewJob:
        """Make a job of a checked creation record; see `create`."""
        if not self._quota.admit(principal.name):
            raise TooManyRequests(
                "this owner makes jobs too fast",
                code="job_rate",
                retry_after_s=self._quota.retry_after_s,
            )
        if job is not None:
            event_id = f"{CREATE}:{secrets.token_hex(8)}"
        elif idempotency_key is None:
            job, event_id = random_job_id(secrets.token_bytes(16)), CREATE
        else:
            job = self.derived_id(principal, idempotency_key)
            event_id = f"{CREATE}:{idempotency_key}"
        event = self._events.build(
            job=job,
            name=CREATE,
            principal=principal,
            data=bytes(request.data) or None,
            event_id=event_id,
            creation=creation,
        )
        # The whole request is the payload: the same key with another one is an error.
        asked = comparable(structs.replace(creation, lifecycle_version=0)), request.callbacks
        payload = msgspec.json.encode(asked, order="deterministic") + event.digest
        digest = payload_digest(CREATE, payload)
        subscriptions = await self._deliveries.subscribe(
            principal.name, job, request.callbacks, digest, authorization
        )
        creation = structs.replace(
            creation, interests=tuple(each.interest for each in subscriptions)
        )
        event = structs.replace(event, digest=digest, creation=creation)
        outcome = await self._events.post(event, _COMMIT_S)
        if outcome is None and idempotency_key is None:
            # Nobody else can have made a job of this id: its first token is the one it will have.
            token = mint_token(self._keyring, job, 1)
            return NewJob(job, token, None, is_repeat=False, subscriptions=subscriptions)
        return self._new_job(job, outcome, subscriptions)

    def _new_job(
        self, job: JobId, outcome: Outcome | None, subscriptions: tuple[Subscription, ...]
    ) -> NewJob:
        if outcome is None:
            detail = (
                "the job is accepted, but not stored yet; repeat it with the same Idempotency-Key"
            )
            raise Unavailable(detail, retry_after_s=1)
        if outcome.verdict == "conflict":
            detail = "this Idempotency-Key was used before with another request; use a new one"
            raise Invalid(detail, code="idempotency_key_reused")
        if outcome.reason == Reason.DELETED:
            raise Conflict(
                "the job made with this Idempotency-Key has been deleted", code="job_deleted"
            )
        if outcome.verdict == "refused" or outcome.state is None:
            raise Conflict(
                f"the job could not be created: {outcome.reason}", code=str(outcome.reason)
            )
        token = mint_token(self._keyring, job, outcome.generation)
        is_repeat = outcome.duplicate or outcome.reason == Reason.EXISTS
        return NewJob(job, token, outcome.state, is_repeat, subscriptions)

    async def get(self, principal: Principal, job_id: JobId) -> Job:
        """
        Return one job.

        Raises:
            NotFound: unknown, deleted, or someone else's.

        """
        job = await self._store.get(principal.name, job_id)
        if job is None:
            raise NotFound("there is no job with this id", code="unknown_job")
        return job

    async def origin(self, principal: Principal, job: Job) -> Origin:
        """Return what the job was made with."""
        entry = await self._store.entry(principal.name, job.id, job.born)
        creation = entry.change.creation if entry else None
        spec = creation.spec if isinstance(creation, JobCreation) else None
        return Origin(entry.data if entry else None, spec)

    async def find(
        self, principal: Principal, which: JobFilter, cursor: str | None, limit: int
    ) -> JobPage:
        """
        Return a page of jobs, newest first.

        Raises:
            Invalid: the cursor belongs to another list.

        """
        listed = f"jobs {principal.name} {which!r}"
        after = self._cursors.read(cursor, listed, JobCursor) if cursor else None
        jobs = await self._store.find(principal.name, which, after, limit + 1)
        more = len(jobs) > limit
        page = jobs[:limit]
        return JobPage(
            page,
            self._cursors.write(JobCursor(page[-1].created, page[-1].id), listed) if more else None,
        )

    async def history(
        self, principal: Principal, job_id: JobId, cursor: str | None, limit: int
    ) -> tuple[list[Entry], str | None]:
        """Return a page of a job's entries, oldest first, and the cursor of the next."""
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
        job = await self.get(principal, job_id)
        if job.plan is not None and job.outcome is not None:
            await self._files.remove(job)
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
        if outcome.reason == Reason.STILL_RUNNING:
            detail = f"the job is {outcome.state} and has not ended; add force to delete it anyway"
            raise Conflict(detail, code=Reason.STILL_RUNNING)
        if outcome.verdict != "applied":
            raise NotFound("there is no job with this id", code="unknown_job")
        return outcome

    async def count(self, principal: Principal) -> list[Count]:
        """Count the owner's jobs by lifecycle and state; of a large state only the newest."""
        return await self._store.count(principal.name, _MOST_COUNTED)
