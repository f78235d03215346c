"""Addresses that are none: a clear error of whoever takes them apart, and no piece of a password."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.config import ConfigProblems, models
from bridge.config.log_target import log_target
from bridge.connector import System
from bridge.log.embedded import EmbeddedLog
from bridge.model.errors import ConfigurationError
from connectors.odata.http.login import OAuth2
from connectors.odata.http.transport import service_root
from connectors.sql.engine import make_engine, parse_url
from connectors.sql.sqlite.connection import sqlite_path
from connectors.tryton.http.address import address_of

SECRET = "hunter2hunter2"
BAD = [
    "{}://[::1",
    "{}://[::1:9092/x",
    "{}://[zz]:1/x",
    "{}://h:99999/x",
    "{}://h:0/x",
    "{}://h:abc/x",
    "{}://h:-1/x",
    "{}://h:/x",
    "{}://\x00/x",
    "{}://h h/x",
    "{}://h\t/x",
    "{}://" + "a" * 300 + "/x",
    "{}://.../x",
    "{}://a..b/x",
    "{}://xn--a/x",
    "{}://\u2100/x",
    "{}://999.1.1.1/x",
    "{}:///x",
    "{}://",
    "{}:",
    "://",
    "x",
]
LOGIN = [f"{{}}://u:{SECRET}@[::1/x", f"{{}}://u:{SECRET}@\u2100/x", f"{{}}://u:{SECRET}@h:abc/x"]


def system(url: str) -> System:
    return System(bridge="acme", name="erp", url=url, shown_url="(hidden)", options=None, tables=())


READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "log": ("kafka", lambda url: log_target(url, Path())),
    "registry": ("http", lambda url: models.RegistryModel(url=url)),
    "odata": ("http", lambda url: service_root(system(url))),
    "tryton": ("http", lambda url: address_of(system(url))),
    "token": (
        "http",
        lambda url: OAuth2.model_validate(
            {"token_url": url, "client_id": "a", "client_secret": "b"}
        ),
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("address", [*BAD, *LOGIN])
def test_an_address_that_is_none_is_refused_by_each_that_reads_it(
    reader: str, address: str
) -> None:
    scheme, read = READERS[reader]
    with pytest.raises((ConfigProblems, ConfigurationError, ValidationError)) as refusal:
        read(address.format(scheme))
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("address", [*BAD, *LOGIN])
@pytest.mark.parametrize("scheme", ["sqlite", "mysql", "nothing"])
def test_a_database_address_is_taken_apart_or_refused(scheme: str, address: str) -> None:
    try:
        words = repr(parse_url(system(address.format(scheme))))
    except ConfigurationError as refusal:
        words = str(refusal)
    assert SECRET not in words


@pytest.mark.parametrize(
    "address",
    ["http://h", "https://h.example:8443/x", "http://[::1]:80/x", "http://127.0.0.1/", "http://h./x",
     "http://\u00e4rger.example/x", "http://xn--rger-koa.example/x", "https://u:p%40@h/x?sap-client=1"],
)  # fmt: skip
def test_addresses_that_are_right_are_taken(address: str) -> None:
    assert models.RegistryModel(url=address).url == address


@pytest.mark.parametrize("server", ["k1:0", "k1:65536", "k1:99999", "[::1:9092", "[zz]:1", "...:1", "k1", ":1"])  # fmt: skip
def test_a_broker_that_is_none_is_refused(server: str) -> None:
    with pytest.raises(ValidationError):
        models.KafkaModel(servers=[server])


@pytest.mark.parametrize("server", ["k1:9092", "[::1]:9092", "10.0.0.1:1", "k-1.example:65535"])
def test_a_broker_that_is_one_is_taken(server: str) -> None:
    assert models.KafkaModel(servers=[server]).servers == [server]


NAMES = [
    "a.db",
    "a#b.db",
    "a%20b.db",
    "a b.db",
    "a&b=c.db",
    "a;b.db",
    "\u00e4.db",
    "a:b.db",
    "%23.db",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_path_in_a_url_is_the_file_of_that_name(tmp_path: Path, name: str) -> None:
    target = log_target(f"sqlite:///{name}", tmp_path)
    assert target.path == tmp_path / name
    log = EmbeddedLog(target.path)
    await log.open()
    await log.close()
    assert (tmp_path / name).is_file()
    of = system(f"sqlite:///{tmp_path}/{name}")
    assert sqlite_path(of, parse_url(of)) == tmp_path / name
    with make_engine(of).connect() as connection:
        (database,) = connection.exec_driver_sql("PRAGMA database_list").fetchall()
        assert database[2].endswith(name)


def test_a_question_mark_in_the_logs_url_is_no_parameter_and_no_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblems, match="takes no parameters"):
        log_target("sqlite:///bridge.db?mode=ro", tmp_path)


def test_a_database_whose_name_has_a_question_mark_is_found(tmp_path: Path) -> None:
    (tmp_path / "erp?x.db").touch()
    of = system(f"sqlite:///{tmp_path}/erp?x.db")
    assert sqlite_path(of, parse_url(of)) == tmp_path / "erp?x.db"
    gone = system(f"sqlite:///{tmp_path}/erp.db?mode=ro")
    with pytest.raises(ConfigurationError, match=r"erp\.db\?mode=ro"):
        sqlite_path(gone, parse_url(gone))
