"""What `check` says of the topics of the log."""

from dataclasses import replace

import pytest

from bridge.config import load
from bridge.config.log_target import log_target
from bridge.log.port import TopicInfo, TopicSpec
from bridge.wiring.check.log import collisions, expected, topic_findings
from tests.cli.bridge_folder import BridgeFolder


def test_the_log_of_a_bridge_that_ran_is_as_it_should_be(lived_once: BridgeFolder) -> None:
    checked = lived_once.call("check", "--json")
    assert checked.code == 0
    (log,) = (row for row in checked.rows if row["area"] == "log")
    assert log["severity"] == "ok"


def test_a_field_of_another_type_than_its_topic_has_is_found_before_capture_pauses(
    lived: BridgeFolder,
) -> None:
    """Capture pauses such an entity, and status says so; check said that it fits its table."""
    system = lived.folder / "systems" / "erp.yaml"
    text = system.read_text()
    other = text.replace(
        'total:       {from: netwr, unit: "0.01", type: "decimal(15,2)"}',
        "total: {from: netwr, type: string}",
    )
    assert other != text
    system.write_text(other)
    answer = lived.call("check")
    assert answer.code == 2
    (line,) = [line for line in answer.out.splitlines() if "doesn't fit its topic" in line]
    assert "systems/erp.yaml:8: entities.sales_order: " in line
    assert "field 'total' was decimal(15,2)" in line
    system.write_text(text.replace("      block:", "      more: ztext\n      block:"))
    assert lived.call("check").code == 0, "a field more is no conflict"


def test_topics_that_are_otherwise_than_configured(bridge_folder: BridgeFolder) -> None:
    config = load(bridge_folder.config)
    topic_infos = {
        spec.name: TopicInfo(spec, 4) for spec in expected(config) if spec.partitions is None
    }
    assert topic_findings(config, topic_infos) == []
    changes, dead = "demo.erp.customer", "demo.dead"
    topic_infos[changes] = TopicInfo(TopicSpec(changes, "compact", history_ms=3_600_000), 4)
    topic_infos[dead] = TopicInfo(TopicSpec(dead, "delete", retention_ms=86_400_000), 4)
    results_by_topic = {item.location: item for item in topic_findings(config, topic_infos)}
    assert "1h instead of 30d" in results_by_topic[f"topic {changes}"].message
    assert "1d instead of ever" in results_by_topic[f"topic {dead}"].message
    assert {item.severity for item in results_by_topic.values()} == {"warning"}
    topic_infos[changes] = TopicInfo(TopicSpec(changes, "delete"), 4)
    assert any("cleanup is delete" in item.message for item in topic_findings(config, topic_infos))


@pytest.mark.parametrize(
    ("query", "warnings"), [("", 0), ("?partitions=4", 0), ("?partitions=6", 1)]
)
def test_partitions_are_compared_where_the_configuration_says_how_many(
    bridge_folder: BridgeFolder, query: str, warnings: int
) -> None:
    """A log that was copied from the embedded one has four, and the line that moves it says none."""
    config = replace(
        load(bridge_folder.config), log=log_target(f"kafka://k1:9092{query}", bridge_folder.folder)
    )
    spec = TopicSpec("demo.erp.customer", "compact", history_ms=config.history_ms)
    assert len(topic_findings(config, {spec.name: TopicInfo(spec, 4)})) == warnings


def test_topics_of_the_bridges_own_that_lose_records_are_no_mere_warning(
    bridge_folder: BridgeFolder,
) -> None:
    """Made beforehand with another cleanup, all schemas and replayed events vanish."""
    config = load(bridge_folder.config)
    schemas, replays = "_demo.schemas", "_demo.replay.credit-watch"
    topic_infos = {
        schemas: TopicInfo(TopicSpec(schemas, "compact"), 1),
        replays: TopicInfo(TopicSpec(replays, "compact"), 4),
    }
    results_by_topic = {
        item.location: item.severity for item in topic_findings(config, topic_infos)
    }
    assert results_by_topic == {f"topic {schemas}": "error", f"topic {replays}": "error"}


def test_names_that_kafka_takes_for_one_are_found() -> None:
    assert collisions(["a.b.c", "a.b.d"]) == []
    assert collisions(["a.erp.x_y", "a.erp_x.y"]) == [("a.erp_x.y", "a.erp.x_y")]
    assert collisions(["a_b.erp.x"], ["a.b_erp.x", "a_b.erp.z"]) == [("a_b.erp.x", "a.b_erp.x")]
