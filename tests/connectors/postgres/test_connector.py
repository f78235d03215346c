from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from pydantic import ValidationError

from bridge.connector import System
from connectors.postgres import connector
from connectors.postgres.errors import clean
from connectors.postgres.options import PostgresOptions
from connectors.sql.postgres.address import libpq_url


def test_the_connector_is_registered_under_its_name() -> None:
    [entry] = entry_points(group="bridge.connectors", name="postgres")
    assert entry.load() is connector
    assert connector.name == "postgres"


@pytest.mark.usefixtures("processes")
def test_psycopg_is_imported_only_when_a_part_is_made() -> None:
    seen = "import connectors.postgres, sys; print('psycopg' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"slot": "Has-Capitals"},
        {"slot": ""},
        {"slot": "x" * 64},
        {"publication": ""},
        {"heartbeat": 0},
        {"slot_wait": -1},
        {"connect_timeout": 0},
        {"slots": "erp"},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PostgresOptions.model_validate(wrong)


def test_the_driver_that_sqlalchemy_names_is_left_out_for_libpq() -> None:
    assert libpq_url("postgresql+psycopg://u@h/d") == "postgresql://u@h/d"
    assert libpq_url("host=h dbname=d") == "host=h dbname=d"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("postgresql://u:p%40ssw0rd@h/d", ["p%40ssw0rd", "p@ssw0rd"]),
        ("postgresql://u@h/d?password=abcdef-abcdef", ["abcdef-abcdef"]),
        ("host=h password='ghijkl-ghijkl' dbname=d", ["ghijkl-ghijkl"]),
        ("postgresql://u@h/d", []),
    ],
)
def test_passwords_are_hidden_wherever_libpq_takes_them_from(url: str, secrets: list[str]) -> None:
    System("acme", "erp", url, "postgresql://h", PostgresOptions(), ())
    cleaned = clean(f"it said {' and '.join(secrets)}\n  here")
    assert not any(secret in cleaned for secret in secrets)
    assert "\n" not in cleaned
