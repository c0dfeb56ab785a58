"""A Starlette application with one line of monitoring, whose own calls to others are captured too.

Run it: ``MOESIF_APPLICATION_ID=... MOESIF_BASE_URI=http://127.0.0.1:9500 uvicorn examples.starlette_app:app``
"""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from moesif_middleware import Moesif, add_metadata, identify
from moesif_middleware.asgi import MoesifMiddleware

moesif = Moesif()
moesif.capture_outgoing(["httpx"])


async def order(request: Request) -> Response:
    """Take an order of a tenant's customer."""
    identify(user_id="customer-7", company_id=request.path_params["tenant"])
    add_metadata(plan="pro")
    return JSONResponse({"order": await request.json(), "password": "never leaves"}, 201)


async def weather(request: Request) -> Response:
    """Ask somebody else: an event of its own, linked to this request's."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(request.query_params["of"])
    return JSONResponse({"status": answer.status_code})


app = Starlette(
    routes=[Mount("/{tenant}", routes=[Route("/orders", order, methods=["POST"]), Route("/weather", weather)])],
    middleware=[Middleware(MoesifMiddleware, moesif=moesif)],
)
