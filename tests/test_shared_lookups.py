"""Nothing that many tasks may ask at once is asked more than once.

An async method that looks whether it knows something, asks for it and stores the answer is asked
again by every task that comes while the first one waits. Each such method goes through
`bridge.single_flight`, or stands here with the reason why it is never called by two at once.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

ONE_CALLER = {
    "bridge/capture/snapshot/delete_confirmation.py:_ask_next": "one task a session",
    "bridge/capture/checkpoint/epoch.py:now": "one task an executor",
    "bridge/capture/snapshot/background_reads.py:act": "one task a session",
    "bridge/capture/runner.py:_open_producer": "one task a capture",
    "bridge/wiring/raw_row_key.py:of": "one task a command line",
    "bridge/gateway/remote/lease_holder.py:_opened": "one task an owner",
    "bridge/commands/receipts/index.py:catch_up": "one task an executor",
    "bridge/log/kafka/appender.py:_bulk_producer": "called under the lock of appends",
    "bridge/log/registry/remembered.py:_read_to_end": "runs in a CoalescedRun",
    "connectors/odata/capture/snapshot/keyset_chunks.py:_keyed": "one task a snapshot",
    "connectors/odata/capture/snapshot/keyset_chunks.py:fits": "one task a snapshot",
    "connectors/postgres/capture/relation_shapes.py:learn": "one task a stream",
    "connectors/postgres/capture/snapshot.py:_find": "one task a snapshot",
}


def lookups(tree: ast.Module) -> Iterator[str]:
    """Names of async methods that, outside of a lock, await something because it isn't there and
    store in `self`.
    """
    for function in ast.walk(tree):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        locked = {
            node
            for block in ast.walk(function)
            if isinstance(block, ast.AsyncWith)
            for node in ast.walk(block)
        }
        for test in ast.walk(function):
            if not isinstance(test, ast.If) or test in locked:
                continue
            condition = ast.unparse(test.test)
            if not ("is None" in condition or "not in" in condition or condition[:4] == "not "):
                continue
            inside = [node for statement in test.body for node in ast.walk(statement)]
            if any(_stores(node, inside) for node in inside):
                yield function.name


def _stores(node: ast.AST, inside: list[ast.AST]) -> bool:
    """Whether the node keeps an answer: under a key, whatever was awaited beside it, or under a name
    what was awaited for it.
    """
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return False
    own = [
        target
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if _is_own(target)
    ]
    by_key = any(isinstance(target, ast.Subscript) for target in own)
    beside = inside if by_key else list(ast.walk(node.value))
    awaited = [each.value for each in beside if isinstance(each, ast.Await)]
    return bool(own) and not all(map(_is_shared, awaited))


def _is_own(target: ast.AST) -> bool:
    if isinstance(target, ast.Subscript):
        target = target.value
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    )


def _is_shared(call: ast.expr) -> bool:
    """`await self._flights.result(key, ...)`."""
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "result"
    )


def test_what_is_asked_for_because_it_is_not_known_is_asked_for_once() -> None:
    unshared = {
        f"{path.relative_to(ROOT)}:{name}"
        for package in ("bridge", "connectors")
        for path in (ROOT / package).rglob("*.py")
        for name in lookups(ast.parse(path.read_text()))
    }
    assert unshared - ONE_CALLER.keys() == set(), (
        "use bridge.single_flight, or say who alone calls it"
    )
    assert ONE_CALLER.keys() - unshared == set(), "no longer there"


def test_the_kind_is_recognised() -> None:
    asks_each_time = """
async def schema(self, number):
    text = self._texts.get(number)
    if text is None:
        text = self._texts[number] = await self._registry.schema(number)
    return text
"""
    asks_once = asks_each_time.replace(
        "self._registry.schema(number)", "self._flights.result(number, call)"
    )
    assert list(lookups(ast.parse(asks_each_time))) == ["schema"]
    assert list(lookups(ast.parse(asks_once))) == []
