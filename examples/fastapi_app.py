"""A FastAPI application with one line of monitoring.

Run it: ``MOESIF_APPLICATION_ID=... MOESIF_BASE_URI=http://127.0.0.1:9500 uvicorn examples.fastapi_app:app``
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from moesif_middleware import Moesif, identify
from moesif_middleware.asgi import MoesifMiddleware

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

app = FastAPI(title="A shop")
app.add_middleware(MoesifMiddleware, moesif=Moesif())


class Order(BaseModel):
    """What a customer orders."""

    item: str
    quantity: int = 1
    card_number: str | None = None


@app.get("/items/{item_id}")
async def item(item_id: int) -> dict[str, object]:
    """Answer JSON."""
    if item_id > 100:
        raise HTTPException(404, "no such item")
    return {"id": item_id, "name": f"Item {item_id}", "price": 9.5 * item_id}


@app.post("/orders", status_code=201)
async def order(order: Order) -> dict[str, object]:
    """Take an order; its customer becomes the event's user."""
    identify(user_id="customer-7", company_id="acme")
    return {"order_id": 42, "item": order.item, "password": "never leaves"}


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, object]:
    """Take a file: the event has its name, type and size."""
    return {"name": file.filename, "size": len(await file.read())}


@app.get("/export")
async def export() -> Response:
    """Answer a file."""
    return Response(b"\x89PNG" + bytes(20_000), media_type="image/png")


@app.get("/stream")
async def stream() -> StreamingResponse:
    """Answer a stream of server-sent events."""

    async def ticks() -> AsyncIterator[str]:
        for number in range(5):
            yield f'data: {{"tick": {number}}}\n\n'
            await asyncio.sleep(0.01)

    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.get("/slow")
async def slow() -> dict[str, str]:
    """Answer late."""
    await asyncio.sleep(0.3)
    return {"was": "slow"}


@app.get("/error")
async def error() -> None:
    """Fail."""
    raise RuntimeError("this route always fails")
