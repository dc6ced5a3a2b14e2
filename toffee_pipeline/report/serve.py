"""Serves the pages of a run to this machine alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from toffee_pipeline.errors import ConfigError
from toffee_pipeline.storage import Storage

LOOPBACK = "127.0.0.1"


def serve(storage: Storage, port: int, say: Callable[[str], None]) -> None:
    """Until Ctrl-C. say: gets the URL. port: 0 takes a free one.

    Raises:
        ConfigError: a package is missing, or the port is taken.
        NoRun, OtherVersion, DamagedFile, OSError: as `read_run`.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ConfigError("jobs/browse.py needs packages that are not installed: pip install -e '.[browse]'") from error
    from toffee_pipeline.report.site import make_site

    site = make_site(storage)
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        raise ConfigError(f"port {port} of {LOOPBACK}: {why}; choose another --port") from error
    with listener:
        say(f"http://{LOOPBACK}:{listener.getsockname()[1]}/  (Ctrl-C ends it)")
        quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
        config = uvicorn.Config(site, lifespan="off", timeout_graceful_shutdown=3, **quiet)
        uvicorn.Server(config).run([listener])
