"""WSGI middleware in the ERP's server: writes the name of each remote call to a file.

The server's own Python loads it; it imports nothing of the server and nothing of ours.
"""

import importlib
import io
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

FILE = "BRIDGE_TEST_TRYTON_CALLS"
"""Names the file in the environment."""

# Each test logs in a few times. Passwords that nobody has to guess are hashed in no time instead of
# a fifth of a second; the server makes its hasher later, by these defaults.
_hasher: Any = importlib.import_module("pwdlib.hashers.argon2").Argon2Hasher.__init__
_hasher.__defaults__ = (1, 8, 1, *_hasher.__defaults__[3:])


class CallCounter:
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
