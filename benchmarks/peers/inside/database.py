"""
Print how durable Prefect's database is set, and how many states it holds; as JSON.

Runs in Prefect's environment, with the engine that its server uses.
"""

from __future__ import annotations

import asyncio
import json

from prefect.server.database import (  # type: ignore[import-not-found]
    provide_database_interface,
)
from sqlalchemy import text  # type: ignore[import-not-found]

_SETTINGS = {
    "sqlite": ("PRAGMA journal_mode", "PRAGMA synchronous"),
    "postgresql": ("SHOW fsync", "SHOW synchronous_commit"),
}


async def look() -> dict[str, object]:
    """Ask the database."""
    engine = await provide_database_interface().engine()
    async with engine.connect() as connection:
        settings = {
            query: str((await connection.execute(text(query))).scalar())
            for query in _SETTINGS[connection.dialect.name]
        }
        count = text("SELECT count(*) FROM flow_run_state")
        return {"settings": settings, "states": (await connection.execute(count)).scalar()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(look())))
