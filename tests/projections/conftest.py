"""Databases for tests of the tables."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from carepact.local.platform import LocalPlatform


@pytest_asyncio.fixture
async def empty_database(platform: LocalPlatform, space: str) -> AsyncIterator[str]:
    """The owner's data source name of a new database without tables."""
    server = await asyncpg.connect(platform.dsn())
    try:
        await server.execute(f'CREATE DATABASE "{space}"')
        yield platform.dsn(database=space)
        await server.execute(f'DROP DATABASE "{space}" WITH (FORCE)')
    finally:
        await server.close()
