"""The load: 260,000 changes of one table of ten columns, and a table of 600,000 rows."""

from __future__ import annotations

import psycopg

TABLE = """
create table orders (
    id bigint primary key, customer_id integer not null, status varchar(10) not null,
    total numeric(15,2) not null, currency char(3) not null, ordered_at timestamptz not null,
    due date, paid boolean not null, note text, weight double precision)
"""
ROW = """
    g, (g * 7919) % 5000, (array['open','partial','done'])[1 + g % 3],
    ((g * 31337) % 10000000) / 100.0, 'EUR', timestamptz '2026-01-01 08:00:00+00' + g * interval '1 second',
    date '2026-02-01' + (g % 60)::int, g % 4 = 0, 'order number ' || g, g * 0.125
"""
COLUMNS = "id, customer_id, status, total, currency, ordered_at, due, paid, note, weight"
INSERT = (
    f"insert into orders ({COLUMNS}) select {ROW.replace(chr(37), chr(37) * 2)} "
    "from generate_series(%s::bigint, %s::bigint) g"
)
SINGLE = f"""
create procedure single_rows(first bigint, number int) language plpgsql as $$
begin
    for i in 0 .. number / 2 - 1 loop
        insert into orders select {ROW} from generate_series(first + i, first + i) g;
        commit;
        update orders set status = 'done', note = 'changed ' || i where id = first + i;
        commit;
    end loop;
end $$
"""

INSERTS, UPDATES, DELETES, SINGLES = 100_000, 100_000, 20_000, 40_000
CHANGES = INSERTS + UPDATES + DELETES + SINGLES
#: Records that these become: a delete is an event and a tombstone.
RECORDS = CHANGES + DELETES
STEP = 5_000


def create(url: str) -> None:
    """The table and the procedure."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(TABLE)
        db.execute(SINGLE)


def insert(url: str, first: int, rows: int) -> None:
    """So many rows, in one transaction."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(INSERT, (first, first + rows - 1))


def fill(url: str, rows: int) -> None:
    """`rows` rows, as a table that has been there for a while."""
    insert(url, 1, rows)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("vacuum analyze orders")


def change(url: str) -> None:
    """100,000 inserts, 100,000 updates and 20,000 deletes in transactions of 5,000 rows, then
    40,000 transactions of one row.
    """
    with psycopg.connect(url, autocommit=True) as db:
        for first in range(1, INSERTS, STEP):
            db.execute(INSERT, (first, first + STEP - 1))
        for first in range(1, UPDATES, STEP):
            db.execute(
                "update orders set status = 'partial', total = total + 1.25, paid = not paid "
                "where id between %s and %s",
                (first, first + STEP - 1),
            )
        for first in range(1, DELETES, STEP):
            db.execute("delete from orders where id between %s and %s", (first, first + STEP - 1))
        db.execute("call single_rows(%s, %s)", (INSERTS + 1, SINGLES))


def rows(url: str) -> dict[int, tuple[object, ...]]:
    """The table as it is now, by id."""
    with psycopg.connect(url) as db:
        return {row[0]: row for row in db.execute(f"select {COLUMNS} from orders")}
