"""What `check` says of a bridge's folder that was edited."""

from tests.cli.bridge_folder import BridgeFolder


def edit(bridge_folder: BridgeFolder, file: str, old: str, new: str) -> None:
    path = bridge_folder.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def wrong(bridge_folder: BridgeFolder, *words: str) -> list[dict[str, str]]:
    rows = bridge_folder.call("check", "--json", *words).rows
    return [row for row in rows if row["severity"] != "ok"]
