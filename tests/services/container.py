"""One container, with the same verbs as a local program."""

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from tests.waiting import wait_until


@cache
def engine_answers() -> bool:
    """Whether a Docker engine is there to start containers on."""
    host = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    # Asked by hand, because docker's client leaves its socket open when nobody answers.
    local = host.scheme == "unix"
    with socket.socket(socket.AF_UNIX if local else socket.AF_INET) as asking:
        asking.settimeout(5)
        try:
            asking.connect(host.path if local else (host.hostname or "", host.port or 2375))
        except OSError:
            return False
    return True


class Container:
    """A container on fixed ports, so that it may be killed and started again."""

    def __init__(
        self,
        image: str,
        ports: Sequence[int],
        ready: Callable[[], bool],
        *,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        seconds: float = 120,
    ) -> None:
        # Ryuk needs a privileged container, which many engines refuse; `close` cleans up instead.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.container import DockerContainer

        self._ready = ready
        self._seconds = seconds
        self._container: Any = DockerContainer(image)
        for port, inside in zip(ports, ports, strict=True):
            self._container.with_bind_ports(inside, port)
        for name, value in (env or {}).items():
            self._container.with_env(name, value)
        if command:
            self._container.with_command(list(command))
        self._is_created = False

    @property
    def pid(self) -> int | None:
        return None

    def start(self) -> None:
        """Start the container and wait until it serves."""
        if self._is_created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._is_created = True
        wait_until(self._ready, self._seconds, describe=self._tail)

    def end(self, sign: signal.Signals, seconds: float = 30) -> None:
        """Send a signal and wait until the container has stopped."""
        wrapped = self._container.get_wrapped_container()
        wrapped.kill(signal=sign.name)
        wrapped.wait(timeout=seconds)

    def close(self) -> None:
        """Stop and remove the container."""
        if self._is_created:
            self._container.stop(force=True)

    def _tail(self) -> str:
        out, err = self._container.get_logs()
        return f"{out!r}\n{err!r}"[-3000:]
