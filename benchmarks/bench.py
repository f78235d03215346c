"""What the capture benchmarks share: servers, a configuration, a bridge as a process."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

from tests.services import provide
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.registry import RegistryServer

HERE = Path(__file__).parents[1]


def checkouts() -> dict[str, Path]:
    """What is measured, by its label: this checkout, and the one that BENCH_BEFORE names."""
    before = os.environ.get("BENCH_BEFORE")
    return {"now": HERE, **({"before": Path(before)} if before else {})}


def python_of(checkout: Path) -> str:
    """The interpreter of a checkout, with its compiled modules and what it depends on."""
    return sys.executable if checkout == HERE else str(checkout / ".venv" / "bin" / "python")


SYSTEM = """
system: erp
connector: postgres
url: ${{env:ERP_URL}}
capture: {{publication: bench, slot: {name}}}
entities:
  order:
    from: orders
"""
BRIDGE = """
bridge: {name}
log: kafka://{kafka}?registry={registry}
"""


@dataclass(slots=True)
class Setting:
    """Running servers, an empty database, and a configuration for them."""

    postgres: Postgres
    kafka: Kafka
    registry: RegistryServer
    folder: Path
    url: str = ""
    name: str = ""
    number: int = 0

    @property
    def topic(self) -> str:
        """The change topic of the orders."""
        return f"{self.name}.erp.order"

    def renew(self) -> None:
        """A new database and a new bridge on the same servers."""
        self.number += 1
        self.name = f"bench_{self.number}"
        self.url = self.postgres.new_database()
        bridge = BRIDGE.format(
            name=self.name, kafka=self.kafka.bootstrap, registry=self.registry.url
        )
        (self.folder / "bridge.yaml").write_text(bridge, encoding="utf-8")
        system = SYSTEM.format(name=self.name)
        (self.folder / "systems" / "erp.yaml").write_text(system, encoding="utf-8")

    def sql(self, statement: str) -> list[Any]:
        """Run one statement."""
        with psycopg.connect(self.url, autocommit=True) as db:
            cursor = db.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def setting() -> Iterator[Setting]:
    """Servers of their own; everything is gone afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(provide.private_postgres())
        kafka = stack.enter_context(provide.private_kafka())
        registry = stack.enter_context(provide.private_registry())
        (folder / "systems").mkdir()
        yield Setting(postgres, kafka, registry, folder)


class Worker:
    """A capturing bridge as a process of its own, by the code of a checkout.

    It is run by its path, so that PYTHONPATH decides whose bridge is imported.
    """

    def __init__(self, at: Setting, checkout: Path = HERE) -> None:
        self.peak = 0
        script = Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [python_of(checkout), str(script), str(at.folder / "bridge.yaml")],
            stdout=subprocess.PIPE,
            env={**os.environ, "ERP_URL": at.url, "PYTHONPATH": str(checkout)},
            text=True,
        )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._threads = [threading.Thread(target=run) for run in (self._read, self._weigh)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _weigh(self) -> None:
        """The largest sum of resident memory over the whole process tree."""
        process = psutil.Process(self._process.pid)
        while self._process.poll() is None:
            try:
                tree = [process, *process.children(recursive=True)]
                self.peak = max(self.peak, sum(item.memory_info().rss for item in tree))
            except psutil.NoSuchProcess:
                return
            time.sleep(0.02)

    def until(self, kind: str, seconds: float = 120, **facts: Any) -> dict[str, Any]:
        """The next notice of this kind with these facts."""
        deadline = time.monotonic() + seconds
        while True:
            notice = self._lines.get(timeout=max(0.1, deadline - time.monotonic()))
            assert notice is not None, "the bridge ended"
            if notice["kind"] == kind and all(notice[name] == facts[name] for name in facts):
                return notice

    def captured(self, changes: int, seconds: float = 300) -> tuple[float, float]:
        """When the first batch began and the last was committed, of `changes` in all."""
        begin, count = 0.0, 0
        while count < changes:
            notice = self.until("Captured", seconds)
            begin = begin or notice["at"] - notice["seconds"]
            count += notice["changes"]
        assert count == changes, f"{count} changes instead of {changes}"
        return begin, notice["at"]

    def cpu(self) -> float:
        """CPU seconds so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """SIGTERM; it ends in order."""
        self._process.send_signal(signal.SIGTERM)
        try:
            assert self._process.wait(10) == 0
        finally:
            self._process.kill()
            for thread in self._threads:
                thread.join()
