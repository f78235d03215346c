"""The same commands on a real Kafka, after the embedded log was copied into it."""

import re

import httpx

from tests.cli.bridge_folder import BridgeFolder, live, order
from tests.cli.test_copy import move
from tests.services.kafka import Kafka
from tests.services.ports import free_ports
from tests.services.registry import RegistryServer
from tests.waiting import WAIT_TIMEOUT_S, wait_until


def test_a_bridge_that_moved_to_kafka_goes_on_and_everything_can_be_asked_there(
    bridge_folder: BridgeFolder, kafka: Kafka, registry: RegistryServer
) -> None:
    # A name of its own, because all tests share one broker.
    text = bridge_folder.config.read_text()
    bridge_folder.config.write_text(text.replace("bridge: demo", "bridge: moved"))
    live(bridge_folder)
    url = f"kafka://{kafka.bootstrap}?registry={registry.url}"
    before = bridge_folder.call("tail", "sales_order", "--no-follow", "--json").rows
    (copied,) = bridge_folder.call("log", "copy", "--to", url, "--json").rows
    assert copied["remaining"] == 0
    move(bridge_folder, url)
    checked = bridge_folder.call("check", "--json")
    # The tests' broker lets everybody write, and is told of.
    (unguarded,) = [row for row in checked.rows if row["severity"] != "ok"]
    assert "the cluster has no authorizer" in unguarded["message"]
    assert {row["area"] for row in checked.rows} >= {"log", "registry", "system"}

    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    with bridge_folder.running("--metrics", address):
        bridge_folder.sql(order(4801, 3, 700))
        bridge_folder.until("tail", "sales_order", "--key", "4801", "--no-follow", "--json")
        assert bridge_folder.call("snapshot", "customer", "--where", "customer_id=7", "--json").rows
        words = ("commands", "send", "block_order", "--key", "4801", "--arg", "reason=moved")
        assert bridge_folder.call(*words, "--wait", "60").code == 0
        # The marks of transactions, which take offsets on Kafka, are nothing that waits.
        wait_until(
            lambda: not lags_of_groups(bridge_folder),
            describe=lambda: lags_of_groups(bridge_folder),
        )
        wait_until(
            lambda: lags_of_metrics(address) == {0.0}, describe=lambda: lags_of_metrics(address)
        )
        assert httpx.get(f"http://{address}/readyz", trust_env=False).json()["ready"] is True

    after = bridge_folder.call("tail", "sales_order", "--no-follow", "--json").rows
    assert {row["id"] for row in before} < {row["id"] for row in after}
    assert len({row["id"] for row in after}) == len(after)
    assert {row["state"] for row in bridge_folder.call("commands", "--json").rows} == {"succeeded"}
    assert len(bridge_folder.call("dead", "--json").rows) == 2
    topics = {row["topic"]: row for row in bridge_folder.call("log", "topics", "--json").rows}
    assert topics["moved.erp.customer"]["retention"] == "30d, then last per key"
    group = "moved.agent.credit-watch"
    lag = bridge_folder.call("log", "groups", group, "--json").rows[0]["lag"]
    reset = ("log", "offsets", "reset", group, "--to", "beginning", "--yes")
    assert bridge_folder.call(*reset).code == 0
    assert bridge_folder.call("log", "groups", group, "--json").rows[0]["lag"] > lag
    dry = bridge_folder.call(
        "replay", "customer", "--key", "7", "--to", "credit-watch", "--dry-run", "--json"
    )
    assert dry.rows[0]["selected"] >= 2
    assert bridge_folder.call("schema", "show", "customer", "--json").rows[0]["name"] == "Change"
    assert bridge_folder.call("replay", "customer", "--key", "7", "--to", "credit-watch").code == 0
    groups = {row["group"]: row for row in bridge_folder.call("log", "groups", "--json").rows}
    assert not [name for name in groups if name.startswith("moved.replay.")]
    assert groups[group]["state"] == "stopped"
    assert bridge_folder.call("log", "offsets", "delete", group, "--yes").code == 0
    assert group not in bridge_folder.call("log", "groups").out
    counts = [
        row for row in bridge_folder.call("status", "--json").rows if row["kind"] == "dead_letters"
    ]
    assert counts[0]["dead_letters"] == 2


def lags_of_groups(bridge_folder: BridgeFolder) -> dict[str, int]:
    """Of each group of the bridge that has one."""
    return {
        row["group"]: row["lag"]
        for row in bridge_folder.call("log", "groups", "--json").rows
        if row["group"].startswith("moved.") and row["lag"]
    }


def lags_of_metrics(address: str) -> set[float]:
    """Of all groups and partitions; empty while nothing is known."""
    text = httpx.get(f"http://{address}/metrics", trust_env=False, timeout=WAIT_TIMEOUT_S).text
    values = re.findall(r"^bridge_group_lag_records\{.*\} (\S+)$", text, re.MULTILINE)
    return {float(value) for value in values}


def test_a_broker_that_is_away_is_a_sentence_and_exit_code_1(bridge_folder: BridgeFolder) -> None:
    move(bridge_folder, "kafka://127.0.0.1:9?partitions=4")
    for words in (("status",), ("tail", "--no-follow"), ("check",)):
        answer = bridge_folder.call(*words)
        assert answer.code == 1, words
        assert "127.0.0.1:9" in answer.err + answer.out
