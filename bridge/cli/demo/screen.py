"""The live screen, and its one-line form where there is no terminal."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bridge.cli.demo.tally import DemoTally

#: Expected results of the demo's commands, by outcome or code; all others are errors.
OUTCOMES = {
    "succeeded": "blocked their order",
    "conflict": "refused, because a user had changed the order since the agent saw it",
    "not_found": "refused, because a user had deleted the order",
}
INTRODUCTION = """\
Users work in a made-up ERP that knows nothing of the bridge. Their changes
become events. The agent credit-watch blocks orders over the customer's credit
limit, by commands; the process that executes them is killed at the worst
moment. At the end the ERP is compared with what the events say.
"""


def outcome_words(tally: DemoTally) -> list[str]:
    """The outcomes of the commands so far, one phrase each."""
    return [
        f"{count} {OUTCOMES.get(outcome, outcome)}"
        for outcome, count in tally.outcomes.most_common()
    ]


def _facts(tally: DemoTally) -> list[tuple[str, str, str]]:
    """Name, value and explanation."""
    median, slow = tally.lag
    handled = tally.handled
    entities = ", ".join(
        f"{count:,} {name.partition('.')[2]}" for name, count in tally.entities.most_common()
    )
    saved = f", {tally.reads / tally.queries:.1f} a query" if tally.queries else ""
    outcomes = "\n".join([f"{len(tally.sent):,}", *outcome_words(tally)])
    return [
        (
            "changes",
            f"{tally.changes:,}",
            f"rows that the users changed, now in the log ({entities})",
        ),
        (
            "lag",
            f"{median:.0f} ms",
            f"from the ERP's commit to the log, median (95 %: {slow:.0f} ms)",
        ),
        ("events handled", f"{handled['done']:,}", "events that the agent has handled"),
        ("echoes", f"{handled['echo']:,}", "changes by the agent's own commands, which it skips"),
        ("reads", f"{tally.reads:,}", f"rows it asked for, in {tally.queries:,} queries{saved}"),
        ("commands", outcomes, f"sent by the agent; {tally.open_commands} not answered yet"),
        (
            "came back",
            f"{sum(tally.caused.values()):,}",
            "changes that name the command that caused them",
        ),
        ("executor", tally.executor, ""),
    ]


def panel(tally: DemoTally, elapsed: float, title: str) -> Panel:
    """The screen as it is now."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    for name, value, meaning in _facts(tally):
        style = "red" if name == "executor" and "killed" in value else ""
        first, *others = value.splitlines()
        table.add_row(
            name, Text.assemble((first, style), (f"   {meaning}" if meaning else "", "dim"))
        )
        for other in others:
            table.add_row("", other)
    return Panel(table, title=f"{title}   {elapsed:4.0f} s", title_align="left", padding=(1, 2))


def line(tally: DemoTally, elapsed: float) -> str:
    """The same in short, for a log file."""
    median, _ = tally.lag
    return (
        f"{elapsed:4.0f} s  {tally.changes} changes in the log ({median:.0f} ms after their commit), "
        f"{tally.handled['done']} events handled, {tally.reads} reads in {tally.queries} queries, "
        f"{len(tally.sent)} commands, {sum(tally.outcomes.values())} answered, "
        f"executor {tally.executor}"
    )
