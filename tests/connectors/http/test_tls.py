"""`tls:` of everything that speaks HTTP, against a server whose authority is private."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from bridge.log.registry.http import HttpRegistry
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.tls import TlsFiles
from connectors.odata.http.client import ODataClient
from connectors.tryton.http.client import TrytonClient
from tests.connectors.odata.order_system import system as odata_system
from tests.connectors.tryton.erp import system as tryton_system
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy, alone
from tests.log.certificates import Authority

METADATA = b"""<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">
<edmx:DataServices><Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="n">
<EntityType Name="T"><Key><PropertyRef Name="ID"/></Key><Property Name="ID" Type="Edm.Int32"
Nullable="false"/></EntityType><EntityContainer Name="c"><EntitySet Name="S" EntityType="n.T"/>
</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""


class Opens(Protocol):
    """Opens a client of one kind at an address, and closes it."""

    async def __call__(self, address: str, tls: TlsFiles | None) -> None: ...


async def open_odata(address: str, tls: TlsFiles | None) -> None:
    client = ODataClient(odata_system(f"{address.replace('//', '//me:pw@')}/odata/", tls=tls))
    try:
        await client.metadata()
    finally:
        await client.close()


async def open_tryton(address: str, tls: TlsFiles | None) -> None:
    client = TrytonClient(tryton_system(f"{address.replace('//', '//me:pw@')}/erp", tls=tls))
    try:
        await client.log_in()
    finally:
        await client.close()


async def open_registry(address: str, tls: TlsFiles | None) -> None:
    registry = HttpRegistry(f"{address}/apis", tls=tls, patience=0.1)
    await registry.open()
    await registry.close()


CLIENTS = [open_odata, open_tryton, open_registry]


def answer(request: ForwardedRequest) -> CannedResponse:
    """What each of the three takes for its own."""
    if request.path.endswith("/rpc/"):
        call = json.loads(request.body)
        result = [1, "key"] if call["method"] == "common.db.login" else {}
        return json_answer({"id": call["id"], "result": result})
    if "metadata" in request.path:
        return CannedResponse(200, METADATA, {"Content-Type": "application/xml"})
    return json_answer({"compatibility": "NONE"})


def json_answer(body: object) -> CannedResponse:
    return CannedResponse(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


@dataclass
class CertificateFiles:
    """An authority and what it vouches for, as files."""

    ca: str
    client: tuple[str, str]
    authority: Authority
    folder: Path

    @asynccontextmanager
    async def serving(
        self, *, address: str = "127.0.0.1", wants_client: bool = False
    ) -> AsyncIterator[HttpProxy]:
        """A server whose certificate is for this address."""
        certificate, key = self.authority.issue("server", address).write(self.folder, "server")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        tls.load_cert_chain(certificate, key)
        if wants_client:
            tls.verify_mode = ssl.CERT_REQUIRED
        between = alone(answer)
        async with between.serving(tls):
            yield between


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority()
    (folder / "ca.pem").write_text(authority.certificate)
    certificate, key = authority.issue("bridge").write(folder, "client")
    return CertificateFiles(str(folder / "ca.pem"), (str(certificate), str(key)), authority, folder)


clients = pytest.mark.parametrize("opens", CLIENTS, ids=lambda opens: opens.__name__)


@clients
async def test_a_private_authority_is_trusted_where_it_is_named_and_nowhere_else(
    certificates: CertificateFiles, opens: Opens
) -> None:
    async with certificates.serving() as between:
        await opens(between.address, TlsFiles(certificates.ca))
        request_count = len(between.requests)
        assert request_count > 0
        with pytest.raises(ConfigurationError, match=r"not trusted .* `ca` under `tls:`"):
            await opens(between.address, None)
        assert len(between.requests) == request_count


@clients
async def test_a_server_with_another_host_s_certificate_is_refused(
    certificates: CertificateFiles, opens: Opens
) -> None:
    async with certificates.serving(address="127.0.0.9") as between:
        with pytest.raises(ConfigurationError, match=r"not valid for '127\.0\.0\.1'"):
            await opens(between.address, TlsFiles(certificates.ca))
        assert between.requests == []


@clients
async def test_a_client_s_certificate_is_shown_where_the_server_wants_one(
    certificates: CertificateFiles, opens: Opens
) -> None:
    async with certificates.serving(wants_client=True) as between:
        await opens(between.address, TlsFiles(certificates.ca, *certificates.client))
        request_count = len(between.requests)
        with pytest.raises((ConfigurationError, RetryLater)):
            await opens(between.address, TlsFiles(certificates.ca))
        assert len(between.requests) == request_count


@clients
@pytest.mark.parametrize(
    "wrong",
    [
        lambda _: TlsFiles("none.pem"),
        lambda certificates: TlsFiles(certificates.client[1]),
        lambda certificates: TlsFiles(certificates.ca, certificates.client[0]),
        lambda certificates: TlsFiles(certificates.ca, certificates.ca, certificates.client[1]),
    ],
    ids=["no such file", "no authority in it", "no key", "another key"],
)
async def test_files_that_can_not_be_used_are_named(
    certificates: CertificateFiles, opens: Opens, wrong: Callable[[CertificateFiles], TlsFiles]
) -> None:
    with pytest.raises(ConfigurationError, match=r"under `tls:` can't be used \(.*\.(pem|key)"):
        await opens("https://127.0.0.1:9", wrong(certificates))
