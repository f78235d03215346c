"""SIEVE eviction, bounded by bytes.

Source: Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU" (NSDI 2024).

The queue is a list, oldest first. What is removed stays in it, marked, until the hand passes it or
half of the list is such: so a node needs neither links nor its index, and its memory is small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

MIN_COMPACTED = 64


class SieveNode(Protocol):
    """What a Sieve holds.

    visited: set to True by each hit, and by nobody else; None once it was removed.
    """

    visited: bool | None


Node = TypeVar("Node", bound=SieveNode)


class Sieve(Generic[Node]):
    """Decides what is evicted. Used by one thread.

    max_bytes: bound of `held_bytes`.
    size_of: a node's bytes, the same for as long as it is held.
    evicted: called for each evicted node, in the step that evicts it.
    """

    __slots__ = ("_evicted", "_hand", "_queue", "_removed", "_size_of", "held_bytes", "max_bytes")

    def __init__(
        self,
        max_bytes: int,
        size_of: Callable[[Node], int],
        evicted: Callable[[Node], None],
    ) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._size_of = size_of
        self._evicted = evicted
        self._queue: list[Node] = []
        self._hand = 0
        self._removed = 0

    def __len__(self) -> int:
        return len(self._queue) - self._removed

    def insert(self, node: Node) -> bool:
        """Hold `node`, after evicting what is in its way; False if it alone exceeds the bound."""
        size = self._size_of(node)
        if size > self.max_bytes:
            return False
        while self.held_bytes + size > self.max_bytes:
            self._evict()
        self.held_bytes += size
        self._queue.append(node)
        return True

    def remove(self, node: Node) -> None:
        """Hold `node` no longer. `evicted` is not called."""
        if node.visited is None:
            return
        node.visited = None
        self.held_bytes -= self._size_of(node)
        self._removed += 1
        if self._removed >= MIN_COMPACTED and self._removed * 2 > len(self._queue):
            self._compact()

    def _evict(self) -> None:
        """Move the hand to the oldest node after it that wasn't visited since, and evict that."""
        queue = self._queue
        while True:
            node = queue[self._hand]
            # Past the newest it begins at the oldest again, and not at the next that is inserted.
            self._hand = (self._hand + 1) % len(queue)
            if node.visited:
                node.visited = False
            elif node.visited is not None:
                self.remove(node)
                self._evicted(node)
                return

    def _compact(self) -> None:
        passed = sum(node.visited is not None for node in self._queue[: self._hand])
        self._queue = [node for node in self._queue if node.visited is not None]
        self._hand = passed % max(1, len(self._queue))
        self._removed = 0
