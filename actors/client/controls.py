"""Controls: cancel, hold and release jobs, one or a selection; make an ended one again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from jobwire.actors.client.calls import Calls, encode, given, job_path
from jobwire.actors.client.connection import Call
from jobwire.schemas.views import ControlledView, CreatedView, SelectedView

Control = Literal["cancel", "hold", "release"]

#: How long the service may work on a selection before it answers.
_SELECTION_S = 120.0


class ControlCalls(Calls):
    """Controls of jobs."""

    async def cancel(self, job: str) -> ControlledView:
        """
        Cancel a job; return when that is decided.

        One that runs is CANCELLING until nothing of it is alive; follow its stream to see the end.

        Raises:
            Conflict: `already_ended`; `runs_elsewhere`: the service does not run it.

        """
        return await self._control(job, "cancel")

    async def hold(self, job: str) -> ControlledView:
        """
        Let nothing of a job start until it is released.

        Raises:
            Conflict: `wrong_state`: it has started; `already_ended`; `runs_elsewhere`.

        """
        return await self._control(job, "hold")

    async def release(self, job: str) -> ControlledView:
        """Let a held job go on; one that is not held stays as it is."""
        return await self._control(job, "release")

    async def control_many(
        self,
        control: Control,
        *,
        ids: Sequence[str] | None = None,
        state: str | None = None,
        tag: str | None = None,
        lifecycle: str | None = None,
        parent: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        q: str | None = None,
        everything: bool = False,
    ) -> SelectedView:
        """
        Cancel, hold or release every job of a selection that has not ended.

        The selection is `ids`, or what all the other fields match, or with `everything` all jobs.

        Raises:
            Invalid: nothing is selected.
            NotFound: there is no job with one of the ids; none is touched.

        """
        selection = given(
            ids=ids,
            state=state,
            tag=tag,
            lifecycle=lifecycle,
            parent=parent,
            since=since,
            until=until,
            q=q,
            all=everything or None,
        )
        path = f"/v1/jobs/{control}"
        call = Call("POST", path, encode(selection), waits_s=_SELECTION_S)
        return (await self._connection.insist(call)).read(SelectedView)

    async def retry(self, job: str, *, idempotency_key: str | None = None) -> CreatedView:
        """
        Make a new job that is asked the same as one that has ended.

        Raises:
            Conflict: `not_ended`; `runs_elsewhere`.
            Invalid: what it needs is not there any more, such as a secret.

        """
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        call = Call("POST", job_path(job, "retry"), headers=headers)
        return (await self._connection.insist(call)).read(CreatedView)

    async def _control(self, job: str, control: Control) -> ControlledView:
        reply = await self._connection.insist(Call("POST", job_path(job, control)))
        return reply.read(ControlledView)
