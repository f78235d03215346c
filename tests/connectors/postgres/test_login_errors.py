"""A refused login is told from a server that is away by its code, whatever language it speaks."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bridge.connector import System
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.postgres import errors
from connectors.postgres.options import PostgresOptions
from connectors.postgres.transport.copy_connection import connect
from connectors.postgres.transport.login_errors import codes, refused_login_codes
from tests.connectors.postgres.postgres_erp import PostgresErp
from tests.secret_scan import secret

PASSWORD = secret("postgres")
NOWHERE = "postgresql://nobody:x@127.0.0.1:1/none"


@pytest.fixture
def joe(erp: PostgresErp) -> str:
    """A role that has to give its password."""
    name = f"joe_{erp.url.rpartition('/')[2]}"
    erp.db.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    return name


def system(url: str) -> System:
    return System("acme", "erp", url, "postgresql://joe:***@erp/erp", PostgresOptions(), ())


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"password": "wrong-horse"}, ("28P01",)),
        ({"dbname": "nonesuch", "user": "postgres", "password": "postgres"}, ("3D000",)),
        ({"password": PASSWORD}, ()),
    ],
)
async def test_the_code_of_a_refusal_is_found_by_asking_once_more(
    erp: PostgresErp, joe: str, more: dict[str, str], wanted: tuple[str, ...]
) -> None:
    info = make_conninfo(erp.url, **{"user": joe, **more})
    assert await refused_login_codes(info, 10) == wanted


async def test_nobody_refuses_where_nobody_is() -> None:
    assert await refused_login_codes(NOWHERE, 10) == ()


async def test_a_refusal_in_a_language_that_is_not_known_stops_and_tells_no_secret(
    erp: PostgresErp, joe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "_FIX_WORDS", re.compile("Passwort-Authentifizierung"))
    monkeypatch.setattr(errors, "_HINTS", {})
    url = erp.url.replace("postgres:postgres@", f"{joe}:wrong-horse@")
    with pytest.raises(
        ConfigurationError, match="check the user and the password in `url`"
    ) as raised:
        await connect(system(url), "source")
    assert "wrong-horse" not in str(raised.value)
    with pytest.raises(RetryLater):
        await connect(system(NOWHERE), "source")


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (("28P01",), ConfigurationError),
        (("57P03",), RetryLater),
        (("53300",), RetryLater),
        (("28P01", "57P03"), RetryLater),
        ((), RetryLater),
    ],
)
def test_one_server_that_may_answer_later_is_asked_again(
    refused: tuple[str, ...], kind: type[Exception]
) -> None:
    error = psycopg.OperationalError("SCHWERWIEGEND:  Anmeldung verweigert")
    assert isinstance(errors.translate_error(error, system(NOWHERE), "login", refused), kind)


def test_the_code_is_read_from_its_place_and_from_no_ones_words() -> None:
    note = (
        b'2026-11-22 22:42:39.653306\tB\t23\tAuthenticationSASL\t "SCRAM-SHA-256" ""\n'
        b'2026-11-22 22:42:39.664839\tB\t99\tErrorResponse\t S "SCHWERWIEGEND" V "FATAL" C "28P01" '
        b'M "Passwort-Authentifizierung f\xc3\xbcr \xbbC "57P03"\xab" F "auth.c" \\x00\n'
        b'2026-11-22 22:42:39.664840\tF\t9\tPasswordMessage\t "\tErrorResponse\t C "00000""\n'
    )
    assert codes(note) == ("28P01",)
