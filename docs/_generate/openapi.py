"""The HTTP interface for programs (OpenAPI 3.1), in `openapi.json` of the native dialect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from msgspec import Struct

from _generate.routes import HEADERS, LINE, NDJSON, ROUTES
from _generate.schemas import REFERENCE, described
from jobwire.actors.dialects.documentation import Content, Page, Route
from jobwire.schemas.views import Problem

#: A piece of the document: JSON, and nothing more is said about it.
Piece = dict[str, Any]

_DESCRIPTION = (
    "Any platform reports a job's state with one small event. "
    "An event that was answered 2xx is in the job's history, or in `refused` with its reason."
)


def openapi_document() -> str:
    """Write the document."""
    paths: dict[str, Piece] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Jobwire",
            "version": version("jobwire"),
            "summary": "Event-driven job control",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8640"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `jwk_...`.",
                },
                "jobToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of one job; it may only send events of that job.",
                },
            },
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _operation(route: Route) -> Piece:
    operation: Piece = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "security": _security(route),
        "parameters": list(_parameters(route)),
        "responses": dict(_answers(route)),
    }
    if route.bodies:
        operation["requestBody"] = {
            "content": {body.kind: {"schema": _schema(body)} for body in route.bodies}
        }
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z]+", route.path.removeprefix("/v1"))
    return "_".join([route.method.lower(), *words])


def _security(route: Route) -> list[Piece]:
    if route.scope is None:
        return []
    allowed: list[Piece] = [{"apiKey": []}]
    return [*allowed, {"jobToken": []}, {}] if route.token else allowed


def _parameters(route: Route) -> Iterator[Piece]:
    for name in re.findall(r"\{(\w+)\}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if route.query is not None:
        _, components = described([route.query])
        shape = components[route.query.__name__]
        for name, schema in shape["properties"].items():
            # An event's fields are parameters only where it does not come as a body.
            required = name in shape.get("required", ()) and not route.bodies
            yield {"name": name, "in": "query", "required": required, "schema": _given(schema)}
    for name in route.headers:
        yield {
            "name": name,
            "in": "header",
            "required": False,
            "description": HEADERS[name],
            "schema": {"type": "string"},
        }


def _given(schema: Piece) -> Piece:
    """Describe a parameter's value where it is given: in a query string there is no null."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) == 1:
        return {**kinds[0]}
    return schema


def _answers(route: Route) -> Iterator[tuple[str, Piece]]:
    for status, content in route.answers.items():
        answer: Piece = {"description": HTTPStatus(status).phrase}
        if content is not None:
            answer["content"] = {content.kind: {"schema": _schema(content)}}
            if any(body.kind == NDJSON for body in route.bodies) and status == HTTPStatus.OK:
                answer["content"][NDJSON] = {"schema": _schema(Content(NDJSON, LINE))}
        yield str(status), answer
    problem = {"schema": {"$ref": REFERENCE.format(name=Problem.__name__)}}
    for status in route.errors:
        yield (
            str(status),
            {
                "description": HTTPStatus(status).phrase,
                "content": {"application/problem+json": problem},
            },
        )


def _schema(content: Content) -> Piece:
    match content.shape:
        case None:
            return {"type": "string"}
        case Page(of):
            return {
                "type": "object",
                "required": ["items", "next"],
                "properties": {
                    "items": {
                        "type": "array",
                        "items": {"$ref": REFERENCE.format(name=of.__name__)},
                    },
                    "next": {"type": ["string", "null"], "description": "cursor of the next page"},
                },
            }
        case shape:
            return {"$ref": REFERENCE.format(name=shape.__name__)}


def _schemas() -> dict[str, Piece]:
    shapes: dict[str, type[Struct]] = {Problem.__name__: Problem, LINE.__name__: LINE}
    for route in ROUTES:
        for content in (*route.bodies, *route.answers.values()):
            shape = content.shape if content else None
            named = shape.of if isinstance(shape, Page) else shape
            if named is not None:
                shapes[named.__name__] = named
    _, components = described(list(shapes.values()))
    return dict(sorted(components.items()))
