"""`login:` of a system's file: the connector's own model, and no secret in clear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr

from bridge.config import ConfigProblems, SystemConfig, load
from bridge.config.connector_sections import login_options
from bridge.connector import System
from tests.config.files import BRIDGE, ENVIRON, SYSTEM, write


class ApiKey(BaseModel, extra="forbid"):
    kind: Literal["api_key"]
    header: str = "X-Api-Key"
    key: SecretStr


class Certificate(BaseModel, extra="forbid"):
    kind: Literal["certificate"]
    file: Path
    headers: dict[str, SecretStr] = {}


class SampleLogin(RootModel[Annotated[ApiKey | Certificate, Field(discriminator="kind")]]):
    pass


def system(tmp_path: Path, login: dict[str, Any]) -> SystemConfig:
    path = write(tmp_path, BRIDGE, {**SYSTEM, "login": login})
    return load(path, ENVIRON).systems[0]


def refused(
    tmp_path: Path, login: dict[str, Any], kind: type[BaseModel] | None = SampleLogin
) -> str:
    with pytest.raises(ConfigProblems) as error:
        login_options(system(tmp_path, login), kind, ENVIRON)
    return str(error.value)


def test_a_login_is_the_connector_s_model_with_its_secrets_looked_up(tmp_path: Path) -> None:
    config = system(tmp_path, {"kind": "api_key", "key": "${env:MASK}"})
    login = login_options(config, SampleLogin, ENVIRON)
    assert login is not None
    assert isinstance(login.root, ApiKey)
    assert login.root.key.get_secret_value() == "m4sk"
    assert "m4sk" not in repr(login) + repr(config)
    assert "api_key" not in repr(config)


def test_what_a_connector_is_told_of_a_login_is_in_no_repr() -> None:
    system_of_login = System("b", "erp", "x://u:p@h", "x://h", None, (), login={"password": "p4ss"})
    assert "p4ss" not in repr(system_of_login)


def test_without_a_login_there_is_none(tmp_path: Path) -> None:
    assert login_options(system(tmp_path, {}), SampleLogin, ENVIRON) is None
    assert login_options(system(tmp_path, {}), None, ENVIRON) is None


def test_a_connector_without_a_login_refuses_one_and_says_where_it_goes(tmp_path: Path) -> None:
    error_text = refused(tmp_path, {"kind": "api_key"}, None)
    assert "systems/erp.yaml:" in error_text
    assert "connector 'postgres' doesn't support login:" in error_text
    assert "through url:" in error_text


def test_a_secret_in_clear_is_refused_and_not_repeated(tmp_path: Path) -> None:
    error_text = refused(tmp_path, {"kind": "api_key", "key": "sesame"})
    assert "login.key: holds a secret in clear (write it by reference: ${env:NAME})" in error_text
    assert "sesame" not in error_text


def test_a_secret_in_clear_is_refused_in_a_mapping_of_secrets(tmp_path: Path) -> None:
    error_text = refused(
        tmp_path, {"kind": "certificate", "file": "erp.pem", "headers": {"X-One": "sesame"}}
    )
    assert "login.headers.X-One: holds a secret in clear" in error_text
    assert "sesame" not in error_text


def test_an_unknown_key_and_a_missing_variable_are_told_at_once(tmp_path: Path) -> None:
    error_text = refused(tmp_path, {"kind": "api_key", "key": "${env:NOT_SET}", "pasword": "x"})
    assert "NOT_SET is not set" in error_text
    assert "'pasword' is not a known key here" in error_text


def test_files_of_a_login_start_at_the_file_that_names_them(tmp_path: Path) -> None:
    login = login_options(
        system(tmp_path, {"kind": "certificate", "file": "erp.pem"}), SampleLogin, ENVIRON
    )
    assert login is not None
    assert isinstance(login.root, Certificate)
    assert login.root.file == tmp_path / "systems" / "erp.pem"
