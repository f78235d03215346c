"""What a reference stands for is hidden where it is a secret, and told where it names a server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.config.secrets import resolve_references
from bridge.model.errors import ConfigurationError
from bridge.model.redaction import Redactor

VALUE = "ordersdesk7"


def _redacted(text: str, monkeypatch: pytest.MonkeyPatch, value: str = VALUE) -> str:
    redactor = Redactor()
    monkeypatch.setattr("bridge.config.secrets.register_secret", redactor.register)
    resolve_references(text, {"X": value, "PW": "another-secret-of-it"}, Path())
    return redactor.redact(f"table {value}.orders, another-secret-of-it")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://bridge:${env:PW}@${env:X}:5432/erp",
        "postgresql://bridge:${env:PW}@db1,${env:X}:5432/erp",
        "postgresql://bridge:${env:PW}@db/${env:X}",
        "postgresql://bridge:${env:PW}@db/${env:X}?sslmode=verify-full",
        "postgresql://${env:X}:${env:PW}@db/erp",
        "https://${env:X}/odata/?api_key=${env:PW}",
        "https://${env:X}.example.com:8443/odata/?api_key=${env:PW}",
        "host=${env:X} user=bridge password=${env:PW}",
        "password=${env:PW} dbname='${env:X}' user=bridge",
    ],
)
def test_a_server_and_a_database_are_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database `shop` in a variable made `***.orders` of each `shop.orders`, on every line."""
    assert _redacted(text, monkeypatch) == f"table {VALUE}.orders, ***"


@pytest.mark.parametrize(
    "text",
    [
        "${env:X}",
        "postgresql://bridge:${env:X}@db/erp",
        "postgresql://bridge:a${env:X}b@db/erp",
        "postgresql://${env:X}@db/erp",
        "postgresql://db/erp?password=${env:X}",
        "postgresql://db/erp?options=${env:X}",
        "https://${env:X}@api.example.com/odata/",
        "https://${env:X}:${env:PW}@api.example.com/odata/",
        "https://u:${env:X}@${env:PW}/odata/",
        "https://api.example.com/${env:X}/odata/",
        "https://api.example.com/odata/?q=${env:X}",
        "host=db password=${env:X} user=bridge",
        "host=db password='host=${env:X}' user=bridge",
        "password = '${env:X}' host=db",
    ],
)
def test_whatever_may_be_a_secret_is_hidden(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VALUE not in _redacted(text, monkeypatch)


@pytest.mark.parametrize("text", ["${file:a\0b}", "${file:\ud880}", "${env:\0}", "${env:\ud880}"])
def test_a_name_that_nothing_can_have_is_said_to_be_missing(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"is not set|can't be read: no file has such a name"
    ):
        resolve_references(text, os.environ, Path())


def test_what_stands_for_a_server_and_holds_a_login_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = "bridge:ordersdesk7@db"
    assert "ordersdesk7" not in _redacted("postgresql://${env:X}/erp", monkeypatch, value)
