"""The dialect of the SD2E PipelineJobs manager, behind the actor API of Abaco."""

from __future__ import annotations

from typing import Final

from jobwire.actors.dialects.base import DialectCommand, DialectPlugin
from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs

PLUGIN: Final = DialectPlugin(
    name="pipelinejobs",
    title="PipelineJobs",
    dialect=f"{__name__}.dialect:PipelineJobsDialect",
    settings=PipelineJobs,
    commands={
        "actors": DialectCommand(
            target=f"{__name__}.commands:actors",
            section="Records",
            summary="Create, list and remove actors of PipelineJobs clients.",
        )
    },
    documentation=f"{__name__}.documentation:DOCUMENTATION",
    unprefixed_kinds=frozenset(
        {"nonce", "foreign_actor", "foreign_alias", "parked_event", "hidden_job"}
    ),
)
