"""Waits for something that is to happen, with a deadline, and never longer than needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

#: Between two looks.
_STEP_S = 0.005


async def until(condition: Callable[[], bool | Awaitable[bool]], within_s: float = 5.0) -> None:
    """
    Return when the condition holds.

    Raises:
        AssertionError: it did not in time.

    """
    try:
        async with asyncio.timeout(within_s):
            while True:
                held = condition()
                if held if isinstance(held, bool) else await held:
                    return
                await asyncio.sleep(_STEP_S)
    except TimeoutError as error:
        message = f"it did not happen within {within_s:g} s"
        raise AssertionError(message) from error


async def turns(count: int = 10) -> None:
    """Let everything that is ready run: so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
