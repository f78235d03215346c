"""Installs the local programs once: `python -m tests.services.install`.

Kafka and the registry come from Maven, SAP CAP from npm, Tryton from PyPI, into a cache outside of the checkout, so
that a fresh clone doesn't download them again; PostgreSQL, Java and Maven from the system's packages, where
they are missing and this is root on Debian. What can't be installed is said and left out: the
tests that need it then say so.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.container import engine_answers

KAFKA_VERSION = "4.1.1"
LOG4J_VERSION = "2.24.3"  # the one that Kafka itself brings
REGISTRY_VERSION = "3.0.9"  # the last one for Java 17
CAP_FILES = Path(__file__).parent / "files" / "cap"

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
DEPENDENCY = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId>"
    "<version>{}</version></dependency>"
)


def cache() -> Path:
    """The folder that outlives a checkout."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "legacy-bridge"


def kafka_folder() -> Path:
    return cache() / f"kafka-{KAFKA_VERSION}"


def registry_folder() -> Path:
    return cache() / f"registry-{REGISTRY_VERSION}"


def kafka_jars() -> Path | None:
    """The folder of Kafka's jars, if they are installed."""
    return kafka_folder() if kafka_folder().is_dir() else None


def registry_jar() -> str | None:
    """The registry's runnable jar, if it is installed."""
    jars = sorted(registry_folder().glob("**/*-runner.jar"))
    return str(jars[0]) if jars else None


def install_kafka(into: Path) -> None:
    """Kafka with all that it depends on, as jars."""
    dependencies = "\n".join(
        DEPENDENCY.format(*artifact)
        for artifact in (
            ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
            ("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
            ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
        )
    )
    (into / "pom.xml").write_text(POM.format(dependencies=dependencies))
    _maven(into, "dependency:copy-dependencies", f"-DoutputDirectory={into}")


def install_registry(into: Path) -> None:
    """The registry's archive, unpacked; its parent's description is not published."""
    artifact = f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:tar.gz:all"
    _maven(into, "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={into}")
    for archive in into.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(into, filter="data")
        archive.unlink()


def cap_folder() -> Path:
    """Named by what it holds, so that other versions are installed beside it."""
    wanted = json.loads((CAP_FILES / "package.json").read_text())["dependencies"]
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode())
    return cache() / f"cap-{digest.hexdigest()[:12]}"


def cap_modules() -> Path | None:
    """The folder of CAP's modules, if they are installed."""
    modules = cap_folder() / "node_modules"
    return modules if modules.is_dir() else None


def install_cap(into: Path) -> None:
    """SAP CAP with SQLite as WebAssembly: no script runs, so nothing else is downloaded."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("Node 20 or later with npm is not installed")
    shutil.copy(CAP_FILES / "package.json", into)
    quiet = ["--ignore-scripts", "--no-fund", "--no-audit", "--no-package-lock", "--loglevel=error"]
    subprocess.run([npm, "install", *quiet], cwd=into, check=True, stdout=subprocess.DEVNULL)


def install_packages(*names: str) -> None:
    """Those of the system's packages that are missing, where this may install them."""
    installed = {
        "postgresql": bool(list(Path("/usr/lib/postgresql").glob("*/bin/postgres")))
        or shutil.which("postgres") is not None,
        "default-jre-headless": shutil.which("java") is not None,
        "maven": shutil.which("mvn") is not None,
    }
    missing = [name for name in names if not installed[name]]
    if not missing:
        return
    apt = shutil.which("apt-get")
    if apt is None or os.getuid() != 0:
        _say(f"please install with your system's packages: {', '.join(missing)}")
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _say(f"installing {', '.join(missing)}")
    for command in (
        [apt, "update", "-q"],
        [apt, "install", "-q", "-y", "--no-install-recommends", *missing],
    ):
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Install what is missing; 1 if something could not be."""
    from examples.tryton import start
    from tests.services import kafka, registry
    from tests.services.class_archive import install_archive
    from tests.services.tryton import install_dump, install_tryton, tryton_dump, tryton_folder

    steps: dict[str, Callable[[], None]] = {
        # No container holds it.
        "SAP CAP": lambda: _once(cap_folder(), install_cap),
        "Tryton": lambda: _once(tryton_folder(), install_tryton),
        "PostgreSQL": lambda: install_packages("postgresql"),
        "Tryton on PostgreSQL": lambda: _once(tryton_dump(), install_dump),
    }
    if engine_answers():
        _say("a Docker engine answers, so what it has in containers is not installed")
    else:
        steps |= {
            "Java and Maven": lambda: install_packages("default-jre-headless", "maven"),
            "kafka": lambda: _once(kafka_folder(), install_kafka),
            "registry": lambda: _once(registry_folder(), install_registry),
            "Kafka's classes": lambda: install_archive(
                kafka_folder(), lambda option: kafka.local(brief=True, java_options=[option])
            ),
            "the registry's classes": lambda: install_archive(
                registry_folder(), lambda option: registry.local(brief=True, java_options=[option])
            ),
        }
    steps["the example's Tryton"] = lambda: _once(cache() / start.name(), start.install)
    cache().mkdir(parents=True, exist_ok=True)
    failed = False
    with _alone():
        for what, step in steps.items():
            try:
                step()
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                _say(f"{what}: {error}")
                failed = True
    return int(failed)


def _maven(folder: Path, *goal: str) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise FileNotFoundError("Maven (mvn) is not installed")
    subprocess.run([mvn, "-q", "-B", *goal], cwd=folder, check=True)


def _once(folder: Path, install: Callable[[Path], None]) -> None:
    """Install into a folder that appears only when it is whole."""
    if folder.is_dir():
        return
    _say(f"installing {folder.name}")
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        new_folder = Path(scratch) / folder.name
        new_folder.mkdir()
        install(new_folder)
        new_folder.rename(folder)


@contextmanager
def _alone() -> Iterator[None]:
    """One installation at a time, whoever asks."""
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    sys.stderr.write(f"services: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
