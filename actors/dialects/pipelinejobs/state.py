"""The state that this dialect keeps beside jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from jobwire.actors.dialects.base import DialectContext
from jobwire.actors.dialects.pipelinejobs.actor_registry import ForeignActors
from jobwire.actors.dialects.pipelinejobs.deferred_events import DeferredEvents
from jobwire.actors.dialects.pipelinejobs.nonces import Nonces
from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.dialects.pipelinejobs.visibility import Visibility


@dataclass(frozen=True, kw_only=True)
class DialectState:
    """One group for each noun."""

    actors: ForeignActors
    nonces: Nonces
    deferred_events: DeferredEvents
    visibility: Visibility

    @classmethod
    def of(cls, context: DialectContext[PipelineJobs]) -> Self:
        """Keep it among the records of the dialect."""
        nonces = Nonces(context.records, context.clock)
        return cls(
            actors=ForeignActors(
                records=context.records,
                nonces=nonces,
                identity=context.identity,
                clock=context.clock,
                named=context.own.actors,
                token_s=context.own.admin_token_s,
            ),
            nonces=nonces,
            deferred_events=DeferredEvents(context.records, context.clock),
            visibility=Visibility(context.records),
        )
