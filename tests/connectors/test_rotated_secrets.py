"""A secret in a file that is replaced while the bridge runs, with every kind of system."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import psycopg
import pytest

from bridge.config import load
from bridge.config.secrets import resolve_references
from bridge.connector import System
from bridge.log.registry.http import HttpRegistry
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.redaction import redact
from bridge.wiring.connectors import build_system, load_connector
from connectors.odata.http.client import ODataClient
from connectors.postgres.transport.copy_connection import connect
from connectors.sql.engine import make_engine
from connectors.tryton.http.client import TrytonClient
from tests.http_proxy import CannedResponse, ForwardedRequest, alone
from tests.secret_scan import secret

OLD, NEW = secret("old/1"), secret("new/2")
METADATA = b"""<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">
<edmx:DataServices><Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="n">
<EntityType Name="T"><Key><PropertyRef Name="ID"/></Key><Property Name="ID" Type="Edm.Int32"
Nullable="false"/></EntityType><EntityContainer Name="c"><EntitySet Name="S" EntityType="n.T"/>
</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""


class Rotation:
    """A system's file whose secret is in a file, and the secret that the other side takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.takes = OLD
        self.logins = 0
        self.write(OLD)

    def write(self, value: str) -> None:
        (self.folder / "secret").write_text(f"{value}\n")

    def system(self, **data: Any) -> System:
        """As the bridge makes it of its files."""
        about = {"system": "erp", "entities": {"t": {"from": "S"}}, **data}
        (self.folder / "erp.yaml").write_text(json.dumps(about))
        (self.folder / "bridge.yaml").write_text(
            json.dumps({"bridge": "acme", "log": "sqlite:///b.db", "systems": "erp.yaml"})
        )
        config = load(self.folder / "bridge.yaml")
        return build_system("acme", config.systems[0], load_connector(config.systems[0]))


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    return Rotation(tmp_path)


async def survives(rotation: Rotation, ask: Callable[[], Awaitable[object]]) -> None:
    """The other side first, then the file; then both at once. Neither secret is in any word."""
    await ask()
    rotation.takes = NEW
    before = rotation.logins
    for _ in range(20):
        with pytest.raises(
            RetryLater, match="it was accepted before: the secret is read again"
        ) as e:
            await ask()
        assert OLD not in str(e.value)
    assert rotation.logins - before <= 4
    rotation.write(NEW)
    await until_asked(ask)
    rotation.takes = secret("third")
    rotation.write(secret("third"))
    await ask()
    assert redact(f"{OLD} {NEW} {secret('third')}") == "*** *** ***"


async def until_asked(ask: Callable[[], Awaitable[object]]) -> None:
    """The file is looked at once a second while a login waits."""
    import asyncio

    for _ in range(200):
        try:
            await ask()
        except RetryLater:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the new secret was never taken")


def answer_with(status: int, body: object) -> CannedResponse:
    return CannedResponse(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def basic(request: ForwardedRequest) -> str:
    """The password of a basic login."""
    value = request.headers.get("authorization", "").removeprefix("Basic ")
    return base64.b64decode(value).decode().partition(":")[2]


@pytest.mark.parametrize("way", ["basic", "url", "api_key", "oauth2"])
async def test_odata_takes_a_secret_that_is_replaced(rotation: Rotation, way: str) -> None:
    tokens: list[str] = []

    def rule(request: ForwardedRequest) -> CannedResponse:
        if request.path == "/token":
            rotation.logins += 1
            form = parse_qs(request.body.decode())
            if form["client_secret"] != [rotation.takes]:
                return answer_with(401, {"error": "invalid_client"})
            tokens.append(f"t{len(tokens)}-{rotation.takes[-5:]}")
            return answer_with(200, {"access_token": tokens[-1], "expires_in": 3600})
        if request.path.endswith("$metadata"):
            return CannedResponse(200, METADATA, {"Content-Type": "application/xml"})
        if way == "oauth2":
            good = request.headers.get("authorization") == f"Bearer {(tokens or ['x'])[-1]}"
            good = good and tokens[-1].endswith(rotation.takes[-5:])
        else:
            rotation.logins += 1
            key = request.headers.get("x-api-key") if way == "api_key" else basic(request)
            good = key == rotation.takes
        return (
            answer_with(200, {"value": []})
            if good
            else answer_with(401, {"error": {"message": "no"}})
        )

    between = alone(rule)
    async with between.serving():
        reference = "${file:secret}"
        ways: dict[str, dict[str, Any]] = {
            "basic": {"login": {"user": "me", "password": reference}},
            "url": {},
            "api_key": {"login": {"api_key": {"value": reference}}},
            "oauth2": {
                "login": {
                    "oauth2": {
                        "token_url": f"{between.address}/token",
                        "client_id": "me",
                        "client_secret": reference,
                        "send": "form",
                    }
                }
            },
        }
        login = ways[way]
        url = f"{between.address}/odata/"
        url = url.replace("//", f"//me:{reference}@", 1) if way == "url" else url
        client = ODataClient(rotation.system(connector="odata", url=url, **login))
        await survives(rotation, lambda: client.page("S"))
        await client.close()


async def test_tryton_takes_a_secret_that_is_replaced(rotation: Rotation) -> None:
    sessions: set[str] = set()

    def rule(request: ForwardedRequest) -> CannedResponse:
        call = json.loads(request.body)
        if call["method"] == "common.db.login":
            rotation.logins += 1
            if call["params"][1]["password"] != rotation.takes:
                return CannedResponse(401)
            sessions.add(rotation.takes)
            return answer_with(200, {"id": call["id"], "result": [1, rotation.takes]})
        token = base64.b64decode(request.headers["authorization"].removeprefix("Session ")).decode()
        if token.rpartition(":")[2] != rotation.takes:
            return CannedResponse(
                401
            )  # The administrator has ended the sessions of the old password.
        return answer_with(200, {"id": call["id"], "result": {}})

    between = alone(rule)
    async with between.serving():
        login = {"user": "me", "password": "${file:secret}"}
        url = f"{between.address}/erp"
        client = TrytonClient(rotation.system(connector="tryton", url=url, login=login))
        await survives(rotation, client.check_reachable)
        await client.close()


async def test_postgres_takes_a_secret_that_is_replaced(rotation: Rotation, database: str) -> None:
    """Connections of capture and of the pool for reads alike; the role is dropped at the end."""
    role = "rotated_bridge"

    def run(statement: str) -> None:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(statement)

    run(f"CREATE ROLE {role} LOGIN PASSWORD '{OLD}'")
    url = database.rsplit("@", maxsplit=1)[-1]
    system = rotation.system(
        connector="postgres", url=f"postgresql://{role}:${{file:secret}}@{url}"
    )
    engine = make_engine(system)

    async def ask() -> None:
        run(f"ALTER ROLE {role} PASSWORD '{rotation.takes}'")
        run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")
        await (await connect(system, "test")).close()
        engine.dispose()
        engine.connect().close()

    try:
        await survives(rotation, ask)
    finally:
        engine.dispose()
        run(f"DROP ROLE {role}")


async def test_a_registry_s_secret_that_is_replaced_is_taken(rotation: Rotation) -> None:
    def rule(request: ForwardedRequest) -> CannedResponse:
        rotation.logins += 1
        good = basic(request) == rotation.takes
        return (
            answer_with(200, {"compatibility": "NONE"})
            if good
            else answer_with(401, {"message": "no"})
        )

    between = alone(rule)
    async with between.serving():
        registry = HttpRegistry(
            f"{between.address}/apis",
            username="me",
            password=OLD,
            read_password=lambda: resolve_references(
                "${file:secret}", {}, rotation.folder
            ).reveal(),
            patience=0.01,
        )

        async def ask() -> None:
            await registry.open()
            await registry.set_compatibility("s", "NONE")

        await survives(rotation, ask)
        await registry.close()


async def test_a_secret_that_never_worked_ends_what_needs_it(rotation: Rotation) -> None:
    between = alone(lambda _: CannedResponse(401))
    async with between.serving():
        login = {"user": "me", "password": "${file:secret}"}
        client = ODataClient(
            rotation.system(connector="odata", url=f"{between.address}/o/", login=login)
        )
        with pytest.raises(ConfigurationError, match="the login was refused"):
            await client.page("S")
        await client.close()
