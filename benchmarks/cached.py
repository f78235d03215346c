"""What does `await ctx.get` of a row cost that is still held, beside a data loader's cached load?

The loader returns what it has loaded, whatever happened since. The context compares the claim of the
row's entity with the time and with the event, and whether the row's entry is still held.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import time
from collections import deque
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

from aiodataloader import DataLoader

from benchmarks.results import Results
from bridge.agent import context, held_rows
from bridge.model.freshness import Freshness
from bridge.model.position import format_position
from bridge.ports.held_entry import EntityClaim, HeldSource, RowEntry

KEYS = 2_000
ROUNDS = 100
ENTITY = "erp.customer"


def held_context(form: ModuleType) -> Any:
    """A context whose rows are held, in one form of the module."""
    claim = EntityClaim()
    claim.claim = Freshness("erp", 1, format_position(1, 7, 0), time.monotonic() + 3_600)
    source = HeldSource("erp", claim, 5.0, deque(maxlen=10), [])
    rows = form.HeldRows(lambda _: source)
    for key in range(KEYS):
        entry = RowEntry(b"%d" % key, bytes(100), None)
        entry.visited = True
        rows.keep(ENTITY, key, SimpleNamespace(id=key), entry, 0)
    event: Any = SimpleNamespace(entity="erp.order", position=format_position(1, 5, 0))
    reads: Any = None
    if form is held_rows:
        logger = logging.LoggerAdapter(logging.getLogger("bench"), {})
        return context.Context(
            event, reads, lambda: datetime.now(UTC), logger, handler="h", agent="a", held=rows
        )
    return form.KeyedReads(reads, rows, "erp", event.position)


def interpreted() -> ModuleType:
    """The module as the Python that it also is; entries stay as they are installed."""
    path = str(held_rows.__spec__.origin).partition(".")[0] + ".py"
    spec = importlib.util.spec_from_file_location("held_rows_interpreted", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def cached_loader() -> Any:
    async def load_rows(keys: list[Any]) -> list[Any]:
        return [SimpleNamespace(id=key) for key in keys]

    loader: Any = DataLoader(load_rows)
    await loader.load_many(range(KEYS))
    return loader


async def measure(results: Results) -> None:
    loader = await cached_loader()
    forms = {"ctx.get": held_rows}
    if held_rows.COMPILED:
        forms["ctx.get, interpreted"] = interpreted()
    contexts = {name: held_context(form) for name, form in forms.items()}
    quickest = dict.fromkeys(["aiodataloader", *contexts], float("inf"))
    keys = range(KEYS)
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            for key in keys:
                await loader.load(key)
            took = time.perf_counter() - begin
            quickest["aiodataloader"] = min(quickest["aiodataloader"], took)
            for name, ctx in contexts.items():
                begin = time.perf_counter()
                for key in keys:
                    await ctx.get(ENTITY, key)
                quickest[name] = min(quickest[name], time.perf_counter() - begin)
    finally:
        gc.enable()
    peer = quickest.pop("aiodataloader")
    results.add("a cached load: aiodataloader", peer / KEYS * 1e9, "ns")
    for name, took in quickest.items():
        rate = peer / took
        results.add(f"a held row: {name}", took / KEYS * 1e9, "ns", "aiodataloader's rate", rate)


def main() -> int:
    asyncio.run(measure(Results("cached")))
    return 0


if __name__ == "__main__":
    main()
