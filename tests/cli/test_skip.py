"""`bridgectl log offsets skip`: a person gives up records that were removed before they were read."""

from bridge.log.port import TopicPartition
from tests.cli.bridge_folder import BridgeFolder
from tests.log.removal import remove_embedded


def test_what_was_removed_is_shown_before_it_is_given_up(lived: BridgeFolder) -> None:
    group = "demo.executor.erp"
    reset = ("log", "offsets", "reset", group, "--to", "beginning", "--yes", "--json")
    assert lived.call(*reset).rows
    skip = ("log", "offsets", "skip", group, "--json")
    assert lived.call(*skip, "--yes").code == 3
    [row] = [
        row
        for row in lived.call("log", "groups", group, "--partitions", "--json").rows
        if row["lag"]
    ]
    partition = TopicPartition(row["topic"], row["partition"])
    remove_embedded(lived.folder / "var" / "bridge.db", partition, row["end"])
    assert lived.call("log", "groups", group, "--json").rows[0]["missing"] == row["end"]
    [dry] = lived.call(*skip, "--dry-run").rows
    assert (dry["committed"], dry["new"], dry["missing"]) == (0, row["end"], row["end"])
    assert dry["skipped"] is False
    assert lived.call(*skip, stdin="n\n").code == 1
    assert lived.call("log", "groups", group, "--json").rows[0]["missing"] == row["end"]
    assert lived.call(*skip, stdin="y\n").code == 0
    assert lived.call("log", "groups", group, "--json").rows[0]["missing"] == 0
    assert lived.call(*skip, "--yes").code == 3
    assert lived.call("log", "offsets", "skip", "nobody", "--yes").code == 3
