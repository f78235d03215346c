"""What works and gives something away: `check` warns of it with its place, and leaves loopback alone."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.app import group
from bridge.connector import System
from bridge.model.loopback import is_loopback
from connectors.postgres.transport.tls_risks import transport_risks

SECRETS = {"PW": "l0ng-en0ugh-by-far", "KEY": "0123456789abcdef", "SHORT": "ab1", "EMPTY": ""}
EMBEDDED = {"bridge": "acme", "log": {"sqlite": "bridge.db"}}


def warnings(folder: Path, bridge: dict[str, Any], system: dict[str, Any]) -> list[str]:
    """Place and words of each warning of `check --offline`, whose exit code says that all is well."""
    (folder / "systems").mkdir(exist_ok=True)
    system = {"system": "erp", "entities": {"order": {"from": "orders"}}, **system}
    (folder / "bridge.yaml").write_text(json.dumps(bridge, indent=1))
    (folder / "systems" / "erp.yaml").write_text(json.dumps(system, indent=1))
    words = ["-c", str(folder / "bridge.yaml"), "check", "--offline", "--json"]
    result = CliRunner(env={**SECRETS, "PGSSLMODE": None}).invoke(group, words)
    assert result.exit_code == 0, result.output
    for secret in filter(None, SECRETS.values()):
        assert secret not in result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [f"{row['location']}: {row['message']}" for row in rows if row["severity"] == "warning"]


def postgres(url: str) -> dict[str, Any]:
    return {"connector": "postgres", "url": url}


@pytest.mark.parametrize("mode", ["", "disable", "allow", "prefer", "require"])
def test_an_sslmode_that_verifies_nobody_is_warned_of_unless_the_database_is_here(
    tmp_path: Path, mode: str
) -> None:
    query = f"?sslmode={mode}" if mode else ""
    for url in (
        f"postgresql://me:${{env:PW}}@db.example.com/erp{query}",
        f"postgresql://me:${{env:PW}}@127.0.0.1,10.0.0.9/erp{query}",
        f"host=db.example.com password=${{env:PW}} {query.lstrip('?')}",
    ):
        (text,) = warnings(tmp_path, EMBEDDED, postgres(url))
        assert text.startswith("systems/erp.yaml:"), text
        assert f"url: sslmode={mode or 'prefer, the default'}" in text
        assert "nobody verifies which server answers" in text
    for url in (
        f"postgresql://me:${{env:PW}}@localhost:5432/erp{query}",
        f"postgresql://me:${{env:PW}}@/erp?host=/run/postgresql&{query.lstrip('?')}".rstrip("&"),
        f"postgresql://me:${{env:PW}}@[::1]/erp{query}",
    ):
        assert warnings(tmp_path, EMBEDDED, postgres(url)) == [], url


@pytest.mark.parametrize(
    "query",
    ["?sslmode=verify-full", "?sslmode=verify-ca", "?sslmode=require&sslrootcert=/ca.pem"],
)
def test_an_sslmode_that_verifies_is_no_warning(tmp_path: Path, query: str) -> None:
    url = f"postgresql://me:${{env:PW}}@db.example.com/erp{query}"
    assert warnings(tmp_path, EMBEDDED, postgres(url)) == []


def test_the_environment_s_sslmode_counts_as_libpq_takes_it() -> None:
    system = System("b", "erp", "postgresql://me:p@db.example.com/erp", "", None, ())
    assert not list(transport_risks(system, {"PGSSLMODE": "verify-full"}))
    assert list(transport_risks(system, {"PGSSLMODE": "require"}))
    here = System("b", "erp", "postgresql:///erp", "", None, ())
    assert list(transport_risks(here, {"PGHOST": "db.example.com"}))
    assert not list(transport_risks(here, {}))


OAUTH = {"token_url": "http://login.example.com/t", "client_id": "b", "client_secret": "${env:PW}"}


@pytest.mark.parametrize(
    ("system", "where"),
    [
        ({"connector": "odata", "url": "http://me:${env:PW}@erp/odata/"}, "url"),
        ({"connector": "odata", "url": "http://erp/odata/?api_key=${env:PW}"}, "url"),
        (
            {
                "connector": "odata",
                "url": "http://10.1.2.3/odata/",
                "login": {"api_key": {"value": "${env:PW}"}},
            },
            "url",
        ),
        (
            {"connector": "odata", "url": "https://erp/odata/", "login": {"oauth2": OAUTH}},
            "login.oauth2.token_url",
        ),
        ({"connector": "tryton", "url": "http://me:${env:PW}@erp:8000/db"}, "url"),
        (
            {
                "connector": "tryton",
                "url": "http://erp:8000/db",
                "login": {"user": "me", "password": "${env:PW}"},
            },
            "url",
        ),
    ],
)
def test_a_login_over_plain_http_is_warned_of(
    tmp_path: Path, system: dict[str, Any], where: str
) -> None:
    (text,) = warnings(tmp_path, EMBEDDED, system)
    assert f"{where}: the login goes to " in text
    assert "over plain http" in text
    here = json.loads(json.dumps(system).replace("@erp", "@127.0.0.1").replace("//erp", "//[::1]"))
    here_text = (
        json.dumps(here).replace("10.1.2.3", "127.1.2.3").replace("login.example.com", "localhost")
    )
    assert warnings(tmp_path, EMBEDDED, json.loads(here_text)) == []


def test_without_a_login_plain_http_is_no_warning(tmp_path: Path) -> None:
    assert warnings(tmp_path, EMBEDDED, {"connector": "odata", "url": "http://erp/odata/"}) == []


def kafka(server: str, protocol: str, registry: str) -> dict[str, Any]:
    login = {"mechanism": "PLAIN", "username": "me", "password": "${env:PW}"}
    security = {"protocol": protocol, **login}
    about = {"url": registry, "username": "me", "password": "${env:PW}"}
    return {
        "bridge": "acme",
        "log": {"kafka": {"servers": server, "security": security, "registry": about}},
    }


def test_logins_of_the_log_and_the_registry_in_clear_are_warned_of(tmp_path: Path) -> None:
    system = {"connector": "journal", "url": "sqlite:///erp.db"}
    plain = kafka("k1:9092", "SASL_PLAINTEXT", "http://registry:8080/apis")
    texts = warnings(tmp_path, plain, system)
    assert len(texts) == 2, texts
    assert any(
        "log.kafka.registry.url: the login of 'me' goes to registry" in text for text in texts
    )
    assert any("SASL_PLAINTEXT sends the login unencrypted, to k1:9092" in text for text in texts)
    for bridge in (
        kafka("k1:9092", "SASL_SSL", "https://registry/apis"),
        kafka("[::1]:9092", "SASL_PLAINTEXT", "http://localhost:8080/apis"),
    ):
        assert warnings(tmp_path, bridge, system) == []


def test_secrets_that_are_short_or_empty_are_warned_of_by_their_reference(tmp_path: Path) -> None:
    def warning_text(url: str, mask: str) -> str:
        system = {"connector": "postgres", "url": url, "mask_key": mask}
        return "\n".join(warnings(tmp_path, EMBEDDED, system))

    assert warning_text("postgresql://${env:SHORT}:${env:PW}@localhost/x", "${env:KEY}") == ""
    short = warning_text("postgresql://me:${env:SHORT}@localhost/x", "${env:SHORT}")
    assert "url: ${env:SHORT} is a secret of fewer than 8 characters" in short
    assert "mask_key: ${env:SHORT} is a key of fewer than 16 bytes" in short
    empty = warning_text("host=localhost password=${env:EMPTY}", "${env:PW}")
    assert "url: ${env:EMPTY} is empty" in empty
    (tmp_path / "systems" / "key").write_text("x\n")
    assert "${file:key} is a key of fewer" in warning_text(
        "postgresql://localhost/x", "${file:key}"
    )


@given(st.integers(0, 2**24 - 1), st.ip_addresses())
def test_loopback_is_127_8_and_the_one_of_ipv6_and_nothing_else(
    low: int, other: IPv4Address | IPv6Address
) -> None:
    assert is_loopback(str(IPv4Address((127 << 24) + low)))
    assert is_loopback(f"[::ffff:127.{low & 255}.0.1]")
    assert is_loopback(str(other)) == (other.is_loopback)
    for name in ("localhost", "LOCALHOST.", "erp.localhost", "[::1]"):
        assert is_loopback(name)
    for name in ("localhost.example.com", "127.0.0.1.example.com", "", "erp"):
        assert not is_loopback(name)
