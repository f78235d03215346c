"""No `repr` holds a secret: debuggers, tracebacks with locals and failed assertions print them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from bridge.config.log_target import LogTarget
from bridge.config.secrets import Secret
from bridge.connector import System
from bridge.connector.current_login import Attempt, Credentials
from bridge.log.kafka.settings import KafkaSettings, Security
from bridge.log.registry.http import HttpRegistry
from bridge.model.errors import BridgeError, Rejected, RetryLater, RowError
from bridge.tls import TlsFiles
from connectors.journal.connector import JournalOptions
from connectors.odata.capture.options import ODataOptions
from connectors.odata.http.login import ApiKeyLogin, LoginMethod, OAuth2, ODataLogin
from connectors.postgres.options import PostgresOptions
from connectors.tryton.http.address import address_of
from connectors.tryton.options import TrytonLogin, TrytonOptions
from tests.secret_scan import leak_in, secret

WORD = secret("repr")
URL = f"https://user:{WORD}@host/db?token={WORD}"
HIDDEN = SecretStr(WORD)
OAUTH2 = OAuth2(
    token_url=f"https://host/token?code={WORD}",
    client_id="me",
    client_secret=HIDDEN,
    parameters={"assertion": WORD},
)
SYSTEM = System("acme", "erp", URL, "https://host", None, (), login=ODataLogin(oauth2=OAUTH2))


@pytest.mark.parametrize(
    "value",
    [
        Secret(WORD), LogTarget(secrets={"password": Secret(WORD)}),
        Credentials(URL, HIDDEN), Attempt(Credentials(URL), 1), SYSTEM, SYSTEM.shared_login,
        Security("SASL_SSL", "PLAIN", "me", WORD, private_key_password=WORD),
        KafkaSettings(("k1:9092",), Security("SASL_SSL", "PLAIN", "me", WORD)),
        HttpRegistry(URL, username="me", password=WORD), TlsFiles(key_password=WORD), OAUTH2,
        ApiKeyLogin(value=HIDDEN), ODataLogin(user="me", password=HIDDEN), ODataLogin(oauth2=OAUTH2),
        TrytonLogin(user="me", password=HIDDEN), address_of(SYSTEM),
        LoginMethod(httpx.BasicAuth("me", WORD), httpx.create_ssl_context()),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_holds_a_secret_does_not_show_it(value: Any) -> None:
    assert not leak_in(f"{value!r} {value}")


@pytest.mark.parametrize(
    "model",
    [
        JournalOptions,
        ODataOptions,
        PostgresOptions,
        TrytonOptions,
        TrytonLogin,
        ODataLogin,
        OAuth2,
        ApiKeyLogin,
    ],
)
def test_what_is_wrong_with_a_model_is_said_without_its_values(model: type[BaseModel]) -> None:
    assert model.model_config["hide_input_in_errors"]


def test_no_error_of_the_bridge_holds_one_that_is_registered() -> None:
    System("acme", "erp", URL, "https://host", None, ())
    for error in (
        BridgeError(f"sent {WORD}"),
        Rejected("refused", f"sent {URL}"),
        RetryLater(f"sent {WORD!r}", after=1),
        RowError(f"sent {WORD}", column="c"),
    ):
        assert not leak_in(f"{error} {error!r} {error.args} {vars(error)}")
