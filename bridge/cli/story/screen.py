"""The live screen, and its one-line form where there is no terminal."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bridge.cli.story.tally import Tally


def _facts(tally: Tally) -> list[tuple[str, str]]:
    median, slow = tally.lag
    handled = tally.handled
    entities = ", ".join(
        f"{count:,} {name.partition('.')[2]}" for name, count in tally.entities.most_common()
    )
    saved = f" ({tally.asked / tally.queries:.1f} reads a query)" if tally.queries else ""
    outcomes = ", ".join(f"{count} {name}" for name, count in tally.outcomes.most_common())
    return [
        ("changes captured", f"{tally.changes:,}   {entities}"),
        ("lag", f"{median:.0f} ms median, {slow:.0f} ms p95 from legacy commit to the log"),
        (
            "events handled",
            f"{handled['done']:,}   {handled['echo']:,} echoes of own commands left out",
        ),
        ("reads", f"{tally.asked:,} asked, {tally.queries:,} queries sent{saved}"),
        ("commands", f"{len(tally.sent):,} sent, {tally.open_commands} open   {outcomes}"),
        ("effects seen again", f"{sum(tally.caused.values()):,} changes told by their command"),
        ("executor", tally.executor),
    ]


def panel(tally: Tally, elapsed: float, title: str) -> Panel:
    """The screen as it is now."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    for name, value in _facts(tally):
        style = "red" if name == "executor" and "killed" in value else ""
        table.add_row(name, Text(value, style=style))
    return Panel(table, title=f"{title}   {elapsed:4.0f} s", title_align="left", padding=(1, 2))


def line(tally: Tally, elapsed: float) -> str:
    """The same, short, for a log file."""
    median, _ = tally.lag
    return (
        f"{elapsed:4.0f} s  {tally.changes} changes ({median:.0f} ms behind), "
        f"{tally.handled['done']} events handled, {tally.asked} reads in {tally.queries} queries, "
        f"{len(tally.sent)} commands, {sum(tally.outcomes.values())} receipts, "
        f"executor {tally.executor}"
    )
