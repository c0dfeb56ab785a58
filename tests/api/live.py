"""The project's own collector, served for real on a free port of loopback."""

import socket
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
    """Yield the base URL and the store of a collector whose file is in ``directory``."""
    settings = CollectorSettings(
        store=f"sqlite:///{directory}/collector.sqlite3",
        apps=(APP,),
        management_keys=(ManagementKey(KEY), ManagementKey(READER, frozenset({"read:governance_rules"}))),
    )
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.context.store
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
