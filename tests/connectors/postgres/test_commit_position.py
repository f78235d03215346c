"""What the writer calls a commit position can be compared with those of the stream."""

from __future__ import annotations

from dataclasses import replace

from bridge.connector import Done, Effect
from connectors.postgres.capture_dialect import POSTGRES
from connectors.sql.engine import make_engine
from connectors.sql.write.ledger import create_sql
from connectors.sql.write.writer import SqlWriter
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source


async def test_an_effect_stands_at_or_in_front_of_its_position_also_when_it_is_repeated(
    erp: PostgresErp,
) -> None:
    system = erp.system("orders")
    erp.run(
        "CREATE TABLE orders (id int PRIMARY KEY, qty int)",
        "INSERT INTO orders VALUES (1, 1), (2, 2)",
        create_sql(make_engine(system).dialect),
    )
    erp.publish("orders")
    writer = SqlWriter(system, POSTGRES)
    effect = Effect(
        "a:1", "d", "UPDATE orders SET qty = 7 WHERE id = :key", {"key": 1}, "orders", {"id": 1}
    )
    async with open_source(system) as (source, _):
        erp.run("UPDATE orders SET qty = 5 WHERE id = 2")
        (done,) = await writer.execute([effect])
        erp.run("UPDATE orders SET qty = 6 WHERE id = 2")
        (again,) = await writer.execute([effect])
        probed = await writer.probe(replace(effect, statement=""))
        before, mine, after = await collect(source, 3)
    await writer.close()
    assert mine.causation == "a:1"
    positions = []
    for outcome in (done, again, probed):
        assert isinstance(outcome, Done)
        assert outcome.position is not None
        positions.append(outcome.position)
    assert before.transaction.commit < mine.transaction.commit <= positions[0]
    assert positions[0] <= after.transaction.commit < positions[1] <= positions[2]
