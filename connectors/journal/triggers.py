"""The triggers of one table on SQLite, as text: pure.

SQLite deletes the rows that `INSERT OR REPLACE` and `UPDATE OR REPLACE` push out without firing
delete triggers (unless `recursive_triggers` is on in that connection), so nobody would hear of
them. Therefore a BEFORE trigger puts aside the rows that the new one collides with, and the AFTER
trigger, which runs only when the new row really went in, tells those that are gone by then: as a
delete, or as the old half of an update where the key is the same. What a delete trigger told
already is taken out of what was put aside. An ignored insert or an upsert fires no AFTER INSERT,
so what was put aside for it is dropped by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.connector import CREATE, DELETE, UPDATE
from connectors.journal.layout import Layout

NOW = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
"""Microseconds since 1970 UTC, in SQLite's milliseconds."""


@dataclass(frozen=True, slots=True)
class Names:
    """The journal's tables."""

    journal: str = "bridge_journal"
    aside: str = "bridge_journal_aside"
    command: str = "bridge_command"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger and the statement that makes it."""

    name: str
    sql: str


def _join(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def trigger_names(layout: Layout) -> tuple[str, ...]:
    """The names of a table's five triggers."""
    kinds = ("insert_before", "insert", "update_before", "update", "delete")
    return tuple(f"bridge_journal_{kind}_{layout.table}" for kind in kinds)


def triggers(
    names: Names,
    layout: Layout,
    uniques: Sequence[frozenset[str]],
    quote: Callable[[str], str],
) -> list[Trigger]:
    """The triggers that journal one table."""
    table = quote(layout.table)
    width = len(layout.columns)
    columns = [quote(name) for name in layout.names]
    key_at = [at for at, column in enumerate(layout.columns) if column.key]
    slots = [f"v{at}" for at in range(2 * width)]
    old, new = [f"OLD.{name}" for name in columns], [f"NEW.{name}" for name in columns]
    command = f"(SELECT id FROM {names.command})"
    head = f"INSERT INTO {names.journal} (layout, op, made_at, command"
    aside = [f"a.v{at}" for at in range(width)]

    def told(op: int, slot_names: Sequence[str], values: Sequence[str], rest: str) -> str:
        return (
            f"{head}, {_join(slot_names)}) SELECT {layout.id}, {op}, {NOW}, {command}, "
            f"{_join(values)}{rest};"
        )

    mine = f"a.layout = {layout.id}"
    # The table's own column stands left of IS, because its collation decides what collides.
    same = " AND ".join(f"NEW.{columns[at]} IS a.v{at}" for at in key_at)
    moved = " OR ".join(f"NEW.{columns[at]} IS NOT OLD.{columns[at]}" for at in key_at)
    gone = (
        f"NOT EXISTS (SELECT 1 FROM {table} t WHERE "
        + " AND ".join(f"t.{columns[at]} IS a.v{at}" for at in key_at)
        + ")"
    )
    groups = {frozenset(layout.key), *uniques}
    sets = sorted((sorted(group) for group in groups), key=lambda group: (len(group), group))
    collides = " OR ".join(
        "(" + " AND ".join(f"t.{quote(name)} = NEW.{quote(name)}" for name in group) + ")"
        for group in sets
    )
    not_itself = " OR ".join(f"t.{columns[at]} IS NOT OLD.{columns[at]}" for at in key_at)
    forget = f"DELETE FROM {names.aside} WHERE layout = {layout.id};"
    put_aside = (
        f"INSERT INTO {names.aside} (layout, {_join(slots[:width])}) SELECT {layout.id}, "
        + _join([f"t.{name}" for name in columns])
        + f" FROM {table} t WHERE ({collides})"
    )
    # Where nothing but the key is unique, a new row collides with none but its namesake.
    key_only = len(groups) == 1
    aside_of_mine = f" FROM {names.aside} a WHERE {mine}"
    lost = f"NOT ({same}) AND {gone}"
    pushed_out = told(DELETE, slots[:width], aside, f"{aside_of_mine} AND {lost}")
    taken_over = f"({same}) AND ({moved})"
    pushed_by_update = told(
        DELETE,
        slots[:width],
        aside,
        f"{aside_of_mine} AND ({taken_over if key_only else f'({lost}) OR ({taken_over})'})",
    )
    # A namesake that was put aside was replaced; otherwise the row is new.
    inserted = (
        f"{head}, {_join(slots)}) SELECT {layout.id}, "
        f"CASE WHEN a.layout IS NULL THEN {CREATE} ELSE {UPDATE} END, {NOW}, {command}, "
        f"{_join([*aside, *new])} FROM (SELECT 1) LEFT JOIN {names.aside} a ON {mine} AND {same};"
    )
    updated = told(UPDATE, slots, [*old, *new], "")
    deleted = told(DELETE, slots[:width], old, "")
    told_already = (
        f"DELETE FROM {names.aside} WHERE layout = {layout.id} AND "
        + " AND ".join(f"v{at} IS OLD.{columns[at]}" for at in key_at)
        + ";"
    )
    bodies = (
        ("BEFORE INSERT", f"{forget} {put_aside};"),
        ("AFTER INSERT", f"{'' if key_only else pushed_out} {inserted} {forget}"),
        ("BEFORE UPDATE", f"{forget} {put_aside} AND ({not_itself});"),
        ("AFTER UPDATE", f"{pushed_by_update} {updated} {forget}"),
        ("AFTER DELETE", f"{deleted} {told_already}"),
    )
    # Only a change of unique columns can push a row out.
    in_uniques = sorted({name for group in groups for name in group})
    collidable = " OR ".join(f"NEW.{quote(name)} IS NOT OLD.{quote(name)}" for name in in_uniques)
    conditions = ("", "", f"WHEN {collidable} ", "", "")
    return [
        Trigger(
            name,
            f"CREATE TRIGGER {quote(name)} {when} ON {table} FOR EACH ROW {condition}"
            f"BEGIN {body} END",
        )
        for name, condition, (when, body) in zip(
            trigger_names(layout), conditions, bodies, strict=True
        )
    ]
