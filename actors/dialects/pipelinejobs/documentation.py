"""What the reference says of this dialect."""

from __future__ import annotations

from typing import Final

from jobwire.actors.dialects.documentation import (
    DialectDocumentation,
    Page,
    RouteEntry,
    json_content,
)
from jobwire.actors.dialects.pipelinejobs.actor_record import ActorView, AdminTokenView
from jobwire.actors.dialects.pipelinejobs.actor_registry import ActorRequest

DOCUMENTATION: Final = DialectDocumentation(
    routes=(
        RouteEntry(
            "GET",
            "/v1/actors",
            "List actors of the PipelineJobs dialect",
            "read",
            {200: json_content(Page(ActorView))},
            errors=(400, 401, 403, 422, 429, 503),
        ),
        RouteEntry(
            "POST",
            "/v1/actors",
            "Create an actor with its aliases",
            "jobs",
            {201: json_content(ActorView)},
            bodies=(json_content(ActorRequest),),
            errors=(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
        ),
        RouteEntry(
            "DELETE",
            "/v1/actors/{id}",
            "Remove an actor; its jobs stay",
            "jobs",
            {200: json_content(ActorView)},
            errors=(401, 403, 404, 409, 429, 503),
        ),
        RouteEntry(
            "POST",
            "/v1/actors/admin-token",
            "Create an administrator's token for the PipelineJobs dialect",
            "admin",
            {200: json_content(AdminTokenView)},
            errors=(400, 401, 403, 422, 429, 503),
        ),
    ),
    advice={
        (401, "wrong_nonce"): "PipelineJobs: the nonce is unknown, deleted, or for another actor.",
        (403, "administrators_only"): (
            "PipelineJobs: send the administrator's token, or use an API key with the scope "
            "`admin`."
        ),
        (403, "nonce_expired"): "PipelineJobs: the nonce has expired. Create a new one.",
        (403, "nonce_level"): (
            "PipelineJobs: the level of the nonce is too low. Create one with a higher level."
        ),
        (403, "nonce_spent"): (
            "PipelineJobs: the nonce has been used `maxUses` times. Create a new one."
        ),
        (403, "reserved_event"): (
            "PipelineJobs: `create` cannot be sent as an event; send a create message."
        ),
        (403, "token_missing"): "PipelineJobs: put the job's `token` into the message or its URL.",
        (403, "wrong_job_token"): (
            "PipelineJobs: the token does not belong to this job, or was revoked."
        ),
        (403, "wrong_sender"): (
            "PipelineJobs: the job's lifecycle does not allow this sender to send the event."
        ),
        (404, "unknown_actor"): (
            "You have no actor with this id or alias; `jobwire actors ls` lists them."
        ),
        (404, "unknown_execution"): "PipelineJobs: this actor has no execution with this id.",
        (404, "unknown_nonce"): "PipelineJobs: this actor or alias has no such nonce.",
        (409, "event_id_reused"): (
            "PipelineJobs: the `Idempotency-Key` was used for this job with another event. "
            "Use a new one."
        ),
        (409, "illegal_transition"): (
            "PipelineJobs: the job's state does not allow this event; `allowedEvents` lists "
            "those that it allows."
        ),
        (409, "name_taken"): "Another actor of yours has this id or alias. Choose another.",
        (409, "not_an_id"): (
            "Remove an actor by its id; an actor that the settings name cannot be removed."
        ),
        (409, "refused"): "PipelineJobs: the event is not applied; the detail says why.",
        (422, "bad_level"): (
            "PipelineJobs: send `NONE`, `READ`, `EXECUTE` or, except for an alias, `UPDATE`."
        ),
        (422, "bad_max_uses"): "PipelineJobs: send 1 or more, or -1 for no limit.",
        (422, "event_missing"): (
            "PipelineJobs: name the event, in the body or as `name` in the URL."
        ),
        (422, "unknown_action"): "PipelineJobs: the only action is `delete`.",
        (422, "unknown_event_name"): (
            "PipelineJobs: the event does not exist; the detail lists all events."
        ),
        (422, "unknown_key"): "PipelineJobs: an event has `uuid`, `name`, `data`, `token` only.",
        (422, "uuid_missing"): "PipelineJobs: name the job, in the body or as `uuid` in the URL.",
        (429, "event_limit"): "The job's history has reached `limits.events_per_job`.",
        (429, "too_many_parked"): (
            "PipelineJobs: too many events are deferred already. Retry later."
        ),
    },
)
