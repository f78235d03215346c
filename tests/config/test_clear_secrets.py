"""A secret in clear, wherever a file can hold a text: refused with its place, and never repeated."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from bridge.config import ConfigProblems, load
from bridge.config.clear_secrets import clear_secrets, hide_secrets
from bridge.config.models import BridgeModel, SystemModel
from bridge.wiring.connectors import build_system, connector_names
from tests.config.files import BRIDGE, ENVIRON, SYSTEM, write

CLEAR = "gEh3im-lit3ral"
"""What no message may repeat."""

FORMS = (
    f"postgresql://bridge:{CLEAR}@erp-db:5432/erp",
    f"postgresql://bridge:{CLEAR}/x@erp-db:5432/erp",
    f"postgresql://bridge@erp-db/erp?sslmode=require&password={CLEAR}",
    f"host=erp-db password={CLEAR} dbname=erp",
    f"host=erp-db password = '{CLEAR} \\' x' dbname=erp",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BX%7D%3BPWD%3D{CLEAR}%3BUID%3Du",
    f"https://erp/odata/?sap-client=100&sap-password={CLEAR}",
    f"https://erp/odata/?api_key={CLEAR}",
    f"https://erp/odata/?x=1;subscription-key={CLEAR}",
    f"https://erp/odata/?code={CLEAR}",
    f"https://me:{CLEAR}@erp/odata/",
    f"kafka://k1:9092?registry=http://me:{CLEAR}@registry:8080/apis",
    f"kafka://k1:9092?registry=http://registry:8080/apis?access_token={CLEAR}",
    f"kafka://me:{CLEAR}@k1:9092",
    f"bridge:{CLEAR}@erp-db",
    f"-----BEGIN PRIVATE KEY-----\n{CLEAR}\n-----END PRIVATE KEY-----",
)

SHORT_SYSTEM = {
    **{key: value for key, value in SYSTEM.items() if key not in {"entities", "commands"}},
    "entities": {"customer": {"from": "kna1"}},
}
"""Hundreds of files are read, of which the entities and commands would be the most."""

Where = tuple[str, ...]


def texts(model: Any, where: Where = ()) -> Iterator[tuple[Where, bool]]:
    """The places of a model, and of those in it, that take a text; and whether that is a secret."""
    for name, field in model.model_fields.items():
        here = (*where, field.alias or name)
        for kind in parts(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from texts(kind, here)
            elif kind is SecretStr:
                yield here, True
            elif isinstance(kind, type) and issubclass(kind, str | Path):
                yield here, False
            elif get_origin(kind) is dict:
                yield (*here, "more"), False


def parts(annotation: Any) -> Iterator[Any]:
    """What a field may be, unions and lists taken apart."""
    if get_origin(annotation) is Literal:
        return
    if get_origin(annotation) is dict:
        yield annotation
        return
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def put(data: dict[str, Any], where: Where, value: str) -> dict[str, Any]:
    """A copy of the data with the value there."""
    changed = copy.deepcopy(data)
    here = changed
    for name in where[:-1]:
        here[name] = here[name] if isinstance(here.get(name), dict) else {}
        here = here[name]
    here[where[-1]] = value
    return changed


def places() -> list[tuple[str, Where]]:
    """Every text of the bridge's file, of a system's and of each connector's parts of that."""
    paths = [("bridge", where) for where, _ in texts(BridgeModel)]
    paths += [
        ("system", where)
        for where, _ in texts(SystemModel)
        if where[0] not in {"entities", "commands"}
    ]
    for entry in connector_names().values():
        connector = entry.load()
        for name, model in (
            ("capture", connector.options),
            ("login", getattr(connector, "login", None)),
        ):
            if model is not None:
                paths += [(entry.name, (name, *where)) for where, _ in texts(model)]
    return sorted(set(paths))


def refused(folder: Path, file: str, where: Where, value: str) -> str:
    """What is said of the files with this text there."""
    bridge, system = BRIDGE, SHORT_SYSTEM
    if file == "bridge":
        bridge = put(BRIDGE, where, value)
    elif file == "system":
        system = put(SHORT_SYSTEM, where, value)
    else:
        system = put({**SHORT_SYSTEM, "connector": file, "capture": {}}, where, value)
    path = write_as_json(folder, bridge, system)
    with pytest.raises(ConfigProblems) as caught:
        read(path)
    return str(caught.value)


def write_as_json(folder: Path, bridge: Any, system: Any) -> Path:
    """The two files in the notation that takes no time to write, and agents; the bridge's path."""
    for name in ("systems", "agents"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "agents" / "watch.py").touch()
    (folder / "systems" / "erp.yaml").write_text(json.dumps(system), encoding="utf-8")
    path = folder / "bridge.yaml"
    path.write_text(json.dumps(bridge), encoding="utf-8")
    return path


def read(path: Path) -> None:
    """The files as `check --offline` reads them."""
    config = load(path, ENVIRON)
    connector = connector_names()[config.systems[0].spec.connector].load()
    build_system(config.bridge, config.systems[0], connector)


def test_every_place_that_takes_a_text_refuses_a_secret_in_clear(tmp_path: Path) -> None:
    """Walked over the models, so that a place that is added is asked too."""
    paths = places()
    assert {("system", ("url",)), ("odata", ("login", "oauth2", "token_url"))} <= set(paths)
    assert ("bridge", ("log", "kafka", "registry", "url")) in paths
    assert len(paths) > 30
    for file, where in paths:
        for form in FORMS:
            error_text = refused(tmp_path, file, where, form)
            assert "in clear" in error_text, (file, where, form, error_text)
            assert CLEAR not in error_text, (file, where, form, error_text)
            assert ".yaml:" in error_text, error_text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", CLEAR),
        ("client_secret", CLEAR),
        ("Ocp-Apim-Subscription-Key", CLEAR),
        ("accessToken", CLEAR),
        ("pwd", 47110815),
    ],
)
def test_a_key_that_is_named_like_a_secret_is_refused_whatever_the_section(
    tmp_path: Path, key: str, value: Any
) -> None:
    for where in (("login", "oauth2", "parameters", key), ("capture", "context", key)):
        error_text = refused(tmp_path, "odata", where, value)
        assert f"{'.'.join(where)}: holds a " in error_text
        assert str(value) not in error_text


def test_a_command_whose_address_holds_a_key_is_refused(tmp_path: Path) -> None:
    system = copy.deepcopy(SYSTEM)
    system["commands"]["block_order"]["run"] = f"POST Block(:key)?api_key={CLEAR}"
    with pytest.raises(ConfigProblems) as caught:
        load(write(tmp_path, system=system), ENVIRON)
    assert "commands.block_order.run: holds a secret (api_key) in clear" in str(caught.value)
    assert CLEAR not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://bridge:${env:ERP_PASSWORD}@erp-db:5432/erp",
        "postgresql://bridge@erp-db/erp?sslmode=verify-full&passfile=/run/pgpass",
        "host=erp-db password=${file:/run/erp} dbname=erp",
        "https://erp/odata/?sap-client=100&api_key=${env:KEY}",
        "http://erp:8080/odata/?mail=a@b",
        "kafka://k1:9092,k2:9092?registry=http://registry:8080/apis/ccompat/v7",
        "sqlite:///var/bridge.db",
        "/run/keys/client.key",
        "agents/*.py",
        "acme.agents:watch",
    ],
)
def test_references_and_what_is_no_secret_are_left_alone(text: str) -> None:
    assert list(clear_secrets(text)) == []


def test_a_column_may_be_called_password(tmp_path: Path) -> None:
    system = copy.deepcopy(SYSTEM)
    system["entities"]["customer"] = {"from": "kna1", "fields": {"id": "kunnr", "password": "pwd"}}
    assert load(write(tmp_path, system=system), ENVIRON).systems[0].spec.entity("customer").fields


@given(
    st.sampled_from(FORMS), st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=9)
)
def test_what_is_shown_of_an_address_holds_no_secret(form: str, more: str) -> None:
    assert CLEAR not in hide_secrets(form.replace("@erp-db", f"@{more}erp-db"))
    assert CLEAR not in hide_secrets(f"{form} and {more}={form}")


@pytest.mark.parametrize("unit", ["://a:", "//u:p/", "a:", "a =", "password=''", "'{"])
def test_a_long_text_is_looked_at_in_no_time_that_anybody_waits_for(unit: str) -> None:
    """The first one took half a minute."""
    text = unit * (100_000 // len(unit))
    started = time.process_time()
    list(clear_secrets(text))
    assert time.process_time() - started < 5
