"""Settings of this dialect: `[dialects.pipelinejobs]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from jobwire.actors.dialects.pipelinejobs.actor_record import ActorName
from jobwire.actors.runtime.mounting import Mounting

_HttpUrl = Annotated[
    str, Meta(max_length=2048, pattern=r"(?#an http or https URL)^https?://[^\s/?#][^\s]*(?!\n)$")
]


class PipelineJobs(Mounting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The SD2E PipelineJobs manager behind the actor API of Abaco."""

    actors: tuple[ActorName, ...] = ("jobs-manager",)
    """
    Names of the actors that every owner has; others are created with `jobwire actors create`.
    """
    tenant: ActorName = "JOBWIRE"
    """First part of new nonces."""
    early: Literal["refuse", "park", "imply"] = "refuse"
    """
    How to handle an event that arrives before the one that it needs, such as `finish` before
    `run`: `refuse` it, `park` (defer) it until it fits, or `imply` the missing `run`, with a mark.
    """
    park_s: Annotated[float, Meta(ge=1, le=365 * 86_400)] = 86_400
    """Longest time that an event is deferred; then it is refused, and its execution fails."""
    delete_by: Literal["token", "administrator"] = "token"
    """Who may delete a job by message: the holder of its token, or administrators only."""
    strict_upstream: bool = False
    """
    Whether refused messages are answered 200, as the original does; the execution then says that
    it failed.
    """
    admin_token_s: Annotated[float, Meta(ge=30, le=86_400)] = 3_600
    """Shortest validity of an administrator's token; the longest is twice this time."""
    events_hub: _HttpUrl | None = None
    """URL that gets each applied event of jobs that were created in this dialect."""
    indexer: _HttpUrl | None = None
    """URL that gets each `index` and `indexed` of such a job."""
