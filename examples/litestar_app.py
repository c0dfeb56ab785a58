"""A Litestar application with one line of monitoring.

Run it: ``MOESIF_APPLICATION_ID=... MOESIF_BASE_URI=http://127.0.0.1:9500 uvicorn examples.litestar_app:app``
"""

from __future__ import annotations

from litestar import Litestar, Request, get, post

from moesif_middleware import Moesif, identify, note_exception
from moesif_middleware.asgi import MoesifMiddleware


@get("/items/{item_id:int}")
async def item(request: Request) -> dict[str, int]:  # type: ignore[type-arg]  # whose user and state are not used
    """Answer JSON."""
    return {"id": int(request.path_params["item_id"])}


@post("/reviews")
async def review(data: dict[str, int]) -> dict[str, object]:
    """Take JSON."""
    identify(user_id="customer-7")
    return {"stars": data["stars"], "api_key": "never leaves"}


@get("/error")
async def error() -> None:
    """Fail."""
    raise RuntimeError("this route always fails")


async def note(error: Exception, scope: object) -> None:
    """Say what Litestar answers itself."""
    note_exception(error)


litestar = Litestar([item, review, error], after_exception=[note])
app = MoesifMiddleware(litestar, Moesif())  # type: ignore[arg-type]  # Litestar's own names for ASGI's types
