"""How long callers wait for the database: never long, and not one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Final, ParamSpec, TypeVar

from jobwire.actors.stores.mongodb.client import TIMEOUT_MS, MongoConnection, is_silence, translated
from jobwire.schemas.errors import Unavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Longest time of a call, that in the driver's own queue included.
_CALL_S: Final = TIMEOUT_MS / 1_000 + 0.5
#: How long calls are refused after one that was not answered.
_DOUBT_S: Final = 0.5


class CallGuard:
    """
    Bounds calls, and refuses further ones for a moment after one that was not answered.

    So a request that asks several things, and the many that come while the database is away, are
    refused soon: each alone would wait until its own time is over.
    """

    def __init__(self, connection: MongoConnection) -> None:
        """Guard the calls of a connection."""
        self._connection = connection
        self._doubt_until = 0.0

    async def ask(
        self,
        call: Callable[Arguments, Coroutine[Any, Any, Result]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """
        Make a call.

        Raises:
            Unavailable: it was not answered, or an earlier one was not a moment ago. What it was to
                write may happen all the same.

        """
        if monotonic() < self._doubt_until:
            raise _unanswered("did not answer a moment ago")
        try:
            with translated():
                async with asyncio.timeout(_CALL_S):
                    return await self._connection.finish(call(*args, **kwargs))
        except TimeoutError as error:
            self._doubt_until = monotonic() + _DOUBT_S
            raise _unanswered("does not answer") from error
        except Unavailable as error:
            if is_silence(error.__cause__):
                self._doubt_until = monotonic() + _DOUBT_S
            raise


def _unanswered(what: str) -> Unavailable:
    return Unavailable(f"the database {what}", code="store_unavailable", retry_after_s=2)
