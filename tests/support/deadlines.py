"""Waits for something that is to happen, with a deadline, and never longer than needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

#: Longest time for anything that is to happen, also on a machine that is busy with other work. Who
#: waits in vain finds out later; who need not wait long never notices.
PATIENCE_S: Final = 90.0

#: Between two looks.
_STEP_S: Final = 0.005


async def until(
    condition: Callable[[], bool | Awaitable[bool]], within_s: float = PATIENCE_S
) -> None:
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
