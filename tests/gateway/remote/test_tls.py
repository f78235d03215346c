"""Over TCP an owner is reached by TLS alone, and by those alone who know its token."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bridge.gateway.remote.address import GatewayAddress
from bridge.gateway.remote.messages import Registration
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.tls import TlsFiles
from tests.gateway.remote.owners import by_ids, customers, owner_of
from tests.log.certificates import Authority

TOKEN = "a token of forty-three letters and so on....."


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> tuple[GatewayAddress, GatewayAddress]:
    """Of an owner at 127.0.0.1, with its own certificate and with that of another host."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority()
    (folder / "ca.pem").write_text(authority.certificate)
    addresses = []
    for name, host in (("gateway", "127.0.0.1"), ("other", "127.0.0.9")):
        certificate, key = authority.issue(name, host).write(folder, name)
        tls = TlsFiles(ca=str(folder / "ca.pem"), certificate=str(certificate), key=str(key))
        addresses.append(GatewayAddress(host="127.0.0.1", port=0, tls=tls, token=TOKEN))
    return addresses[0], addresses[1]


@pytest.fixture
def address(addresses: tuple[GatewayAddress, GatewayAddress]) -> GatewayAddress:
    return addresses[0]


async def test_rows_come_over_tls(address: GatewayAddress) -> None:
    async with owner_of(customers(), address=address) as (server, client):
        remote = client(at=replace(address, port=server.port))
        assert (await remote.fetch(by_ids("1"))).rows == [("1", "customer 1")]


async def test_a_wrong_token_is_refused_and_never_shown(address: GatewayAddress) -> None:
    async with owner_of(customers(), address=address) as (server, client):
        at = replace(address, port=server.port)
        for guess in ("", TOKEN[:-1], TOKEN + "x", "ü"):
            with pytest.raises(ConfigurationError, match="doesn't know this token") as raised:
                await client(Registration("acme", "erp", guess, "x"), at=at).open()
            assert TOKEN not in str(raised.value)
        assert TOKEN not in repr(at)


async def test_an_authority_that_isnt_named_is_not_trusted(address: GatewayAddress) -> None:
    async with owner_of(customers(), address=address) as (server, client):
        for tls in (None, TlsFiles()):
            with pytest.raises(ConfigurationError, match=r"not trusted.*`ca` under `tls:`"):
                await client(at=replace(address, port=server.port, tls=tls)).open()


async def test_the_certificate_has_to_be_the_hosts(
    addresses: tuple[GatewayAddress, GatewayAddress],
) -> None:
    address = addresses[1]
    async with owner_of(customers(), address=address) as (server, client):
        with pytest.raises(ConfigurationError, match=r"not valid for '127\.0\.0\.1'"):
            await client(at=replace(address, port=server.port)).open()


async def test_no_client_gets_in_without_tls(address: GatewayAddress) -> None:
    async with owner_of(customers(), address=address) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(bytes(100))
        assert b"\0erp" not in await reader.read(1000)
        writer.close()
        assert server.clients == []


@pytest.mark.parametrize("missing", ["token", "tls", "key"])
async def test_without_token_or_certificate_nothing_listens(
    address: GatewayAddress, missing: str
) -> None:
    wrong = {
        "token": replace(address, token=""),
        "tls": replace(address, tls=None),
        "key": replace(address, tls=TlsFiles(certificate=address.tls.ca if address.tls else "")),
    }[missing]
    with pytest.raises(ConfigurationError, match=r"token|tls|certificate"):
        async with owner_of(customers(), address=wrong):
            pass


async def test_a_port_that_another_process_has_is_waited_for(address: GatewayAddress) -> None:
    """Of an owner before, which is frozen."""
    async with owner_of(customers(), address=address) as (server, _):
        same_port = replace(address, port=server.port)
        with pytest.raises(RetryLater, match=f"can't listen on 127.0.0.1:{server.port}"):
            async with owner_of(customers(), address=same_port):
                pass


async def test_a_host_of_another_machine_cant_be_listened_on(address: GatewayAddress) -> None:
    with pytest.raises(ConfigurationError, match="can't listen"):
        async with owner_of(customers(), address=replace(address, host="192.0.2.1")):
            pass
