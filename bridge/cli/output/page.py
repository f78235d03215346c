"""The shown part of a long listing, and a note on stderr about the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import click

from bridge.cli.params.numbers import COUNT_OR_ALL

Item = TypeVar("Item")

DEFAULT_LIMIT = 50

limit_option = click.option(
    "--limit",
    type=COUNT_OR_ALL,
    default=DEFAULT_LIMIT,
    show_default=True,
    help="Show only the newest ones, at most this many; 0: all.",
)


def after_option(metavar: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--after`: continue after the last item shown."""
    return click.option(
        "--after",
        default="",
        metavar=metavar,
        help="Show those that follow this one, oldest first.",
    )


class NewestPage(Generic[Item]):
    """Items of a listing, oldest first: the newest `limit` (0: all), or the first ones after the
    one named `after`.
    """

    def __init__(self, limit: int, after: str = "") -> None:
        self._limit = limit
        self._after = after
        self._is_reached = not after
        self._items: deque[tuple[str, Item]] = deque(maxlen=None if after or not limit else limit)
        self._count = 0

    def add(self, name: str, item: Item) -> None:
        """The next one, by its name."""
        if not self._is_reached:
            self._is_reached = name == self._after
            return
        self._count += 1
        if not (self._after and self._limit and len(self._items) >= self._limit):
            self._items.append((name, item))

    @property
    def items(self) -> list[Item]:
        """The shown items. Raises UsageError if there is none named `after`."""
        if not self._is_reached:
            raise click.UsageError(f"--after {self._after}: there is no such item")
        return [item for _, item in self._items]

    def report(self, what: str) -> None:
        """Print to stderr how many more there are, and how to see them; nothing if there are
        none.
        """
        left_out = self._count - len(self._items)
        if not left_out:
            return
        if self._after:
            last, _ = self._items[-1]
            text = f"{left_out} more follow: --after {last}"
        else:
            first, _ = self._items[0]
            text = (
                f"the newest {len(self._items)} of {self._count} {what}; the {left_out} before "
                f"{first} are not shown: --limit 0 shows all, --limit {self._count} as many"
            )
        click.echo(text, err=True)
