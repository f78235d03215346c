import sqlite3
from pathlib import Path

import pytest

from bridge.log.embedded import EmbeddedLog, from_url
from bridge.log.embedded.filesystem import check_location, network_file_system
from bridge.model.errors import ConfigurationError, RetryLater


def test_a_url_names_a_relative_or_an_absolute_file() -> None:
    assert from_url("sqlite:///var/bridge.db").name == "sqlite:///var/bridge.db"
    assert from_url("sqlite:////var/bridge.db").name == "sqlite:////var/bridge.db"
    for wrong in ("sqlite://bridge.db", "sqlite:///", "kafka://k1:9092", "bridge.db"):
        with pytest.raises(ConfigurationError, match=r"sqlite:///var/bridge\.db"):
            from_url(wrong)


async def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "var" / "lib" / "bridge.db")

    await log.open()
    await log.close()

    assert (tmp_path / "var" / "lib" / "bridge.db").exists()


async def test_a_network_file_system_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "bridge.db", network=lambda _: "NFS")

    with pytest.raises(ConfigurationError, match=r"network file system \(NFS\).*local disk.*Kafka"):
        await log.open()

    assert not (tmp_path / "bridge.db").exists()


def test_the_kernel_is_asked_about_the_file_system(tmp_path: Path) -> None:
    """Local ones are found local, also memory and /proc; what isn't there is an error."""
    assert network_file_system(tmp_path) is None
    assert network_file_system(Path("/dev")) is None
    with pytest.raises(OSError, match="No such file"):
        network_file_system(tmp_path / "missing")


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"file/bridge\.db can't be used"):
        check_location(tmp_path / "file" / "bridge.db")


async def test_files_of_something_else_are_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "erp.db"
    text.write_text("not a database, and long enough to look at" * 50)
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE vbak (vbeln TEXT)")
    connection.close()
    before = other.read_bytes(), text.read_bytes()

    with pytest.raises(ConfigurationError, match="not an SQLite database"):
        await EmbeddedLog(text).open()
    with pytest.raises(ConfigurationError, match="database of another program"):
        await EmbeddedLog(other).open()

    assert (other.read_bytes(), text.read_bytes()) == before


async def test_a_file_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    log = EmbeddedLog(path)
    await log.open()
    await log.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(ConfigurationError, match="newer bridge"):
        await EmbeddedLog(path).open()


async def test_a_folder_in_the_place_of_the_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "bridge.db").mkdir()

    with pytest.raises(ConfigurationError, match="can't be opened"):
        await EmbeddedLog(tmp_path / "bridge.db").open()


async def test_a_locked_file_is_waited_for_and_then_named(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    log = EmbeddedLog(path, patience=0.2)
    await log.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(RetryLater, match=r"bridge\.db locked: nothing was written"):
        await log.producer("id")
    other.execute("ROLLBACK")
    await log.producer("id")

    other.close()
    await log.close()
