"""Apicurio Registry, which serves the Confluent registry API."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.services.class_archive import use_archive
from tests.services.container import Container
from tests.services.errors import ServerUnavailable
from tests.services.install import REGISTRY_VERSION, registry_folder, registry_jar
from tests.services.ports import free_ports
from tests.services.process import BRIEF_JAVA, Process
from tests.services.server import Elsewhere, ManagedService, ServerProcess

IMAGE = f"apicurio/apicurio-registry:{REGISTRY_VERSION}"


class RegistryServer(ManagedService):
    """A registry. `url` ends with `/apis/ccompat/v7`. It forgets everything when it ends."""

    def __init__(self, url: str, server: ServerProcess) -> None:
        super().__init__(server)
        self.url = url


def elsewhere(url: str) -> RegistryServer:
    """The registry at a URL."""
    return RegistryServer(url, Elsewhere(url))


def in_container(*, brief: bool = False) -> RegistryServer:
    """A registry of its own in a container; `brief`: it lives for minutes and is not measured."""
    [port] = free_ports(1)
    url = _url(port)
    env = {"QUARKUS_HTTP_PORT": str(port)}
    if brief:
        env["JAVA_TOOL_OPTIONS"] = " ".join(BRIEF_JAVA)
    container = Container(IMAGE, [port], lambda: answers(url), env=env)
    return RegistryServer(url, container)


def local(*, brief: bool = False, java_options: Sequence[str] = ()) -> RegistryServer:
    """A registry of its own as a local program; `brief`: as above."""
    jar, java = registry_jar(), shutil.which("java")
    if jar is None or java is None:
        raise ServerUnavailable(
            "the schema registry is not installed: run `make services` (needs Java 17 and "
            "Maven), or start Docker, or set BRIDGE_TEST_REGISTRY to a Confluent-compatible URL"
        )
    port, management = free_ports(2)
    url = _url(port)
    flags = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": port,
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": management,
    }
    process = Process(
        [
            *(java, "-Xmx512m", *(BRIEF_JAVA if brief else ())),
            *(*use_archive(registry_folder()), *java_options),
            *(f"-D{name}={value}" for name, value in flags.items()),
            *("-jar", jar),
        ],
        Path(tempfile.mkdtemp(prefix="bridge-registry-")),
        lambda: answers(url),
    )
    return RegistryServer(url, process)


def answers(url: str) -> bool:
    """Whether the registry lists its subjects."""
    try:
        return httpx.get(f"{url}/subjects", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/apis/ccompat/v7"
