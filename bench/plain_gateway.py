"""What one would write without us: a FastAPI route that checks each line by pydantic and sends it by aiokafka.

No member token, no sealing, no ids, no rejects, no duplicates: only the checks, and an answer when Kafka has all of it.

    python -m bench.plain_gateway PORT TOPIC < connections.json
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request
from pydantic import BaseModel, ValidationError

from contracts.events import LOG_FACTS


class Envelope(BaseModel):
    """An event as sent."""

    specversion: str
    type: str
    source: str
    id: str | None = None
    time: str | None = None
    data: dict[str, Any]


def plain_app(reach: dict[str, Any], topic: str) -> FastAPI:
    """The app: one route."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.producer = AIOKafkaProducer(**reach, acks="all", enable_idempotence=True)
        await app.state.producer.start()
        yield
        await app.state.producer.stop()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/events", status_code=202)
    async def send(request: Request) -> dict[str, int]:
        sent, rejected = [], 0
        for line in (await request.body()).splitlines():
            try:
                event = Envelope.model_validate_json(line)
                LOG_FACTS[event.type].model_validate_json(json.dumps(event.data))
            except (ValidationError, KeyError):
                rejected += 1
                continue
            sent.append(await app.state.producer.send(topic, line, key=event.source.encode()))
        await asyncio.gather(*sent)
        return {"read": len(sent) + rejected, "accepted": len(sent), "duplicate": 0, "rejected": rejected}

    return app


if __name__ == "__main__":
    uvicorn.run(
        plain_app(json.load(sys.stdin), sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="error"
    )
