"""The project's own collector, served for real on a free port of loopback."""

import asyncio
import threading
from contextlib import contextmanager

import uvicorn

from moesif_middleware.collector.app import create_app
from moesif_middleware.collector.settings import CollectorSettings, ManagementKey

APP = "test-application"
KEY = "test-management-key"
READER = "test-reading-key"


@contextmanager
def collecting(directory):
    """Yield the base URL of a collector whose store is in ``directory``."""
    settings = CollectorSettings(
        store=f"sqlite:///{directory}/collector.sqlite3",
        apps=(APP,),
        management_keys=(ManagementKey(KEY), ManagementKey(READER, frozenset({"read:governance_rules"}))),
    )
    config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="error", ws="none")
    server = uvicorn.Server(config)
    started = threading.Event()
    config.callback_notify = None

    async def serve():
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        started.set()
        await server.main_loop()
        await server.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    if not started.wait(10):
        raise AssertionError("the collector did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
