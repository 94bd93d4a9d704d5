"""
Where each verb of the store runs.

A verb is written once, as a function that takes a connection. The functions here make a method of
it, which takes the same arguments without the connection; `SqliteStore` is a table of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from jobwire.actors.stores.sqlite.threads import ReaderThreads, WriterThread

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Connections(Protocol):
    """What a store has for its verbs to run on."""

    writer: WriterThread
    readers: ReaderThreads


Function = Callable[Concatenate[sqlite3.Connection, Arguments], Result]
Method = Callable[Concatenate[Connections, Arguments], Coroutine[Any, Any, Result]]


def write(function: Function[Arguments, Result]) -> Method[Arguments, Result]:
    """Run a verb in a transaction of its own, which is on disk when the verb returns."""

    @wraps(function)
    def method(
        store: Connections, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Coroutine[Any, Any, Result]:
        return store.writer.write(function, *args, **kwargs)

    return method


def quick_read(function: Function[Arguments, Result]) -> Method[Arguments, Result]:
    """Run a verb that reads a few rows on the loop, on the pages that the writer has in memory."""

    @wraps(function)
    def method(
        store: Connections, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Coroutine[Any, Any, Result]:
        return store.writer.read(function, *args, **kwargs)

    return method


def long_read(function: Function[Arguments, Result]) -> Method[Arguments, Result]:
    """Run a verb that may read many pages on a thread of its own."""

    @wraps(function)
    def method(
        store: Connections, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Coroutine[Any, Any, Result]:
        return store.readers.run(function, *args, **kwargs)

    return method
