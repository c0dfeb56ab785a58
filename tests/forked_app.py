"""The test application, with an event captured while it is imported: before a server forks its workers."""

from __future__ import annotations

import os
import time

from tests.apps import wsgi_app, wsgi_moesif
from tests.exchanges import submit

__all__ = ["wsgi_app"]

if os.environ.get("MOESIF_APPLICATION_ID") and wsgi_moesif is not None:
    submit(wsgi_moesif)
    # The threads run by now.
    time.sleep(0.1)
