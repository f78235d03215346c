"""`gateway:` of a system's file: a socket of this machine, or TCP with TLS and a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.config import ConfigProblems
from bridge.config.load import load
from bridge.wiring.readers import gateway_address
from tests.config.files import BRIDGE, ENVIRON, SYSTEM, write

TOKEN = "x" * 40


def loaded(folder: Path, section: Any) -> Any:
    path = write(folder, BRIDGE, {**SYSTEM, "gateway": section})
    return load(path, {**ENVIRON, "GATEWAY": TOKEN})


def test_without_a_section_each_process_reads_by_itself(tmp_path: Path) -> None:
    config = load(write(tmp_path, BRIDGE, SYSTEM), ENVIRON)
    assert config.systems[0].gateway is None
    assert gateway_address(config, config.systems[0]) is None


def test_the_default_is_a_socket_beside_the_log(tmp_path: Path) -> None:
    config = loaded(tmp_path, {})
    [system] = config.systems
    assert system.gateway.lease_s == 10
    address = gateway_address(config, system)
    assert address is not None
    assert address.path == str(tmp_path / "var" / "gateway-erp.sock")


def test_a_socket_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"socket": "run/erp.sock", "lease": "3s"})
    [system] = config.systems
    assert system.gateway.lease_s == 3
    assert str(gateway_address(config, system)) == str(tmp_path / "systems" / "run" / "erp.sock")


@pytest.mark.parametrize(("tcp", "host"), [("gw:7711", "gw"), ("[::1]:7711", "::1")])
def test_tcp_has_a_token_and_certificates(tmp_path: Path, tcp: str, host: str) -> None:
    section = {
        "tcp": tcp,
        "token": "${env:GATEWAY}",
        "tls": {"ca": "ca.pem", "certificate": "gw.pem", "key": "gw.key"},
    }
    config = loaded(tmp_path, section)
    address = gateway_address(config, config.systems[0])
    assert address is not None
    assert (address.host, address.port, address.token, address.path) == (host, 7711, TOKEN, "")
    assert str(address) == tcp
    assert address.tls is not None
    assert address.tls.ca == str(tmp_path / "systems" / "ca.pem")
    assert TOKEN not in repr(address) + repr(config)


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ({"tcp": "gw:7711"}, "tcp needs a token"),
        ({"tcp": "gw:7711", "token": "${env:GATEWAY}", "socket": "x"}, "exclude each other"),
        ({"token": "${env:GATEWAY}"}, "go with tcp"),
        ({"tls": {"ca": "ca.pem"}}, "go with tcp"),
        ({"tcp": "gw", "token": "${env:GATEWAY}"}, "host:port"),
        ({"tcp": "gw:7711", "token": "${env:NOTHING}"}, "NOTHING"),
        ({"lease": "0s"}, "gateway.lease"),
        ({"lease": "10"}, "gateway.lease"),
        ({"sockets": "x"}, "not a known key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, section: Any, what: str) -> None:
    with pytest.raises(ConfigProblems) as raised:
        loaded(tmp_path, section)
    assert what in str(raised.value)
    assert "erp.yaml" in str(raised.value)


def test_a_token_in_clear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblems, match="clear"):
        loaded(tmp_path, {"tcp": "gw:7711", "token": TOKEN})
