"""The legacy ERP and its users. It knows nothing of the bridge.

    python erp.py URL create                   make the tables and some customers
    python erp.py URL work SECONDS [SEED]      enter, change and delete orders like people do

URL as SQLAlchemy's: sqlite:///erp.db or postgresql+psycopg://user:password@host/db; `-` reads it
from the environment variable ERP_URL.
"""

import os
import random
import sys
import time
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import create_engine, event, text

TABLES = [
    """create table kna1 (kunnr char(10) primary key, name1 char(35) not null,
                          klimk integer not null, skfor integer not null)""",
    """create table vbak (vbeln char(10) primary key, kunnr char(10) not null,
                          erdat char(8) not null, erzet char(6) not null, netwr integer not null,
                          gbstk integer not null, lifsk char(2) not null, ztext char(60))""",
    """create table vbap (vbeln char(10) not null, posnr char(6) not null, matnr char(18) not null,
                          kwmeng integer not null, netpr integer not null,
                          primary key (vbeln, posnr))""",
]
NAMES = ["Nordwind KG", "Bäckerei Süß", "Otto & Söhne", "Łódź Tools", "Café Zürich", "Ångström AB"]
CUSTOMERS = 40


def connect(url):
    engine = create_engine(os.environ["ERP_URL"] if url == "-" else url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def wait_for_others(connection, _record):
            connection.execute("pragma busy_timeout = 10000")
            connection.execute("pragma journal_mode = wal")

    return engine


def create(engine):
    with engine.begin() as db:
        for table in TABLES:
            db.execute(text(table))
        for number in range(1, CUSTOMERS + 1):
            limit = random.Random(number).randrange(200_000, 2_000_000)  # in cents, as all amounts
            db.execute(
                text("insert into kna1 values (:id, :name, :limit, 0)"),
                {"id": f"{number:010}", "name": NAMES[number % len(NAMES)], "limit": limit},
            )


def enter_order(db, rng, number):
    customer, now = f"{rng.randint(1, CUSTOMERS):010}", datetime.now(ZoneInfo("Europe/Berlin"))
    lines = [(rng.randint(1, 20), rng.randrange(500, 30_000)) for _ in range(rng.randint(1, 4))]
    total = sum(quantity * price for quantity, price in lines)
    db.execute(
        text("insert into vbak values (:id, :customer, :day, :time, :total, 1, '', null)"),
        {
            "id": f"{number:010}",
            "customer": customer,
            "day": f"{now:%Y%m%d}",
            "time": f"{now:%H%M%S}",
            "total": total,
        },
    )
    for position, (quantity, price) in enumerate(lines, start=1):
        db.execute(
            text("insert into vbap values (:id, :position, :material, :quantity, :price)"),
            {
                "id": f"{number:010}",
                "position": f"{position * 10:06}",
                "material": f"{rng.randint(1000, 9999):018}",
                "quantity": quantity,
                "price": price,
            },
        )


def deliver(db, rng, number):
    """Goods leave, the customer owes more; blocked orders stay where they are."""
    row = db.execute(
        text("select kunnr, netwr from vbak where vbeln = :id and gbstk < 3 and lifsk = ''"),
        {"id": f"{number:010}"},
    ).first()
    if row:
        db.execute(text("update vbak set gbstk = 3 where vbeln = :id"), {"id": f"{number:010}"})
        db.execute(
            text("update kna1 set skfor = skfor + :total where kunnr = :id"),
            {"id": row[0], "total": row[1]},
        )


def pay(db, rng, number):
    db.execute(
        text("update kna1 set skfor = skfor / 2 where kunnr = :id"),
        {"id": f"{rng.randint(1, CUSTOMERS):010}"},
    )


def cancel(db, rng, number):
    db.execute(text("delete from vbap where vbeln = :id"), {"id": f"{number:010}"})
    db.execute(text("delete from vbak where vbeln = :id"), {"id": f"{number:010}"})


def work(engine, seconds, seed):
    rng, last, end = random.Random(seed), 4710, time.monotonic() + seconds
    while time.monotonic() < end:
        act = rng.choices([enter_order, deliver, pay, cancel], [6, 3, 1, 1])[0]
        if act is enter_order:
            last += 1
        number = last if act is enter_order else rng.randint(4711, max(4711, last))
        with engine.begin() as db:
            act(db, rng, number)
        time.sleep(rng.expovariate(60))  # people, about sixty acts a second


if __name__ == "__main__":
    if sys.argv[2] == "create":
        create(connect(sys.argv[1]))
    else:
        work(connect(sys.argv[1]), float(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else 1)
