"""What can be set of this dialect: `[dialects.pipelinejobs]`."""

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
