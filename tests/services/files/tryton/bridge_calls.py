"""WSGI middleware in the ERP's server: writes the name of each remote call to a file.

The server's own Python loads it; it imports nothing of the server and nothing of ours.
"""

import io
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

FILE = "BRIDGE_TEST_TRYTON_CALLS"
"""Names the file in the environment."""


class Calls:
    """Appends the method's name to the file for each POST, before the server handles it."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        # trytond 8.2 can't hand arguments to its middleware: `config.has_option` is missing.
        self._app = app
        self._file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if environ["REQUEST_METHOD"] == "POST" and length:
            body = environ["wsgi.input"].read(length)
            environ["wsgi.input"] = io.BytesIO(body)
            try:
                method = json.loads(body)["method"]
            except (ValueError, KeyError, TypeError):
                method = "?"
            os.write(self._file, f"{method}\n".encode())
        return self._app(environ, start)
