"""Turns everything that goes wrong in a request into the answer that its dialect gives."""

from __future__ import annotations

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from jobwire.actors.dialects.base import Dialect
from jobwire.actors.dialects.mounts import COMPAT, MOUNT
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.schemas.errors import JobwireError, Malformed, NotAllowed, NotFound, TooLarge

_log = structlog.get_logger()


def problems(dialect: Dialect, telemetry: Telemetry) -> Middleware:
    """Make the middleware of the application of one dialect."""

    @web.middleware
    async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except JobwireError as error:
            problem = error
        except web.HTTPException as error:
            problem = _of_http(request, error)
        except ConnectionResetError:
            raise
        except Exception:  # noqa: BLE001 - answered 500, logged and counted
            _log.exception("request_failed", method=request.method, path=request.path)
            problem = JobwireError("a fault of the service; it is in the log")
        telemetry.requests_refused.labels(problem.code).inc()
        response = dialect.problem(problem)
        if isinstance(problem, NotAllowed) and problem.allowed:
            response.headers["Allow"] = problem.allowed
        return response

    return answer_problems


def _of_http(request: web.Request, error: web.HTTPException) -> JobwireError:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return NotAllowed(
                f"{request.path} takes {allowed}, not {request.method}", allowed=allowed
            )
        case web.HTTPRequestEntityTooLarge():
            return TooLarge()
        case web.HTTPNotFound():
            detail = f"there is nothing at {request.path}"
            if request.path.startswith(COMPAT) and not request.app[MOUNT].prefix:
                detail += (
                    "; the dialect of this name is not enabled in the settings, or there is none"
                )
            return NotFound(detail, code="unknown_route")
        case _:
            return Malformed(error.reason or "the request cannot be read", code="bad_request")
