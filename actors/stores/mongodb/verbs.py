"""
How each verb of the store is asked.

A verb is written once, as a function that takes the database. The functions here make a method of
it, which takes the same arguments without the database; `MongoStore` is a table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from jobwire.actors.stores.mongodb.call_guard import CallGuard
from jobwire.actors.stores.mongodb.client import MongoConnection, translated
from jobwire.actors.stores.mongodb.job_database import JobDatabase

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Connected(Protocol):
    """What a store has for its verbs to be asked of."""

    connection: MongoConnection
    database: JobDatabase
    call_guard: CallGuard


Function = Callable[Concatenate[JobDatabase, Arguments], Coroutine[Any, Any, Result]]
Method = Callable[Concatenate[Connected, Arguments], Coroutine[Any, Any, Result]]


def guarded(function: Function[Arguments, Result]) -> Method[Arguments, Result]:
    """Call a verb within the time that a caller waits, and not at all while nothing answers."""

    @wraps(function)
    def method(
        store: Connected, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Coroutine[Any, Any, Result]:
        return store.call_guard.ask(function, store.database, *args, **kwargs)

    return method


def unguarded(function: Function[Arguments, Result]) -> Method[Arguments, Result]:
    """Call a verb in the background: every call is made, even after others have failed."""

    @wraps(function)
    async def method(
        store: Connected, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        with translated():
            return await store.connection.finish(function(store.database, *args, **kwargs))

    return method
