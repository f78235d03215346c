"""What can be wrong with an OData service: named in a sentence; the other entities go on."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.service import (
    GuardedService,
    at,
    document,
    everywhere,
    metadata,
    page,
    service,
)
from tests.conftest import PrivateCap
from tests.connectors.odata.test_login import certificates
from tests.http_proxy import (
    DROP,
    CannedResponse,
    ForwardedRequest,
    HttpProxy,
    Rule,
    nothing,
    standing,
)
from tests.secret_scan import secret
from tests.services.cap import Cap
from tests.waiting import wait_until

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def erp(tmp_path: Path, cap: Cap) -> Iterator[GuardedService]:
    """An ERP with a customer and a product."""
    with service(tmp_path / "bridge", cap) as odata_service:
        odata_service.put("Customers", "C1", name="Ann")
        odata_service.put("Products", "P1", name="Tea", stock=3)
        yield odata_service


@pytest.mark.usefixtures("processes")
def test_a_wrong_password_is_told_and_once_it_is_right_capture_goes_on(erp: GuardedService) -> None:
    bridge = erp.bridge
    with bridge.running() as run:
        run.says("streaming")
        erp.until_customers()
    right = bridge.secrets["ERP_PASSWORD"]
    bridge.secret("ERP_PASSWORD", "wr0ng:p@ss")
    erp.put("Customers", "C2", name="Bob")
    says = (
        "system 'erp'",
        "the login was refused (401)",
        "check the user and the password in `url`",
    )
    bridge.fails("check", code=1, says=says)
    bridge.fails("get", "customer", "C1", code=2, says=says)
    with bridge.running() as run:
        assert run.ends() == 1
        for part in says:
            assert part in run.text
    bridge.secret("ERP_PASSWORD", right)
    with bridge.running():
        erp.until_customers()


@pytest.mark.usefixtures("processes")
def test_metadata_that_is_wrong_in_places_leaves_the_rest_captured(erp: GuardedService) -> None:
    """A type that nobody knows, an entity without a key, a field that is not there."""
    bridge, whole = erp.bridge, document(erp.cap)
    customers = whole.index(b'<EntityType Name="Customers">')
    start, end = whole.index(b"<Key>", customers), whole.index(b"</Key>", customers)
    keyless = whole[:start] + whole[end + len(b"</Key>") :]
    cases = [
        (keyless, "entity set 'Customers' can't be used: an entity without a key: its rows can't"),
        (
            whole.replace(b'EntityType="Erp.Customers"', b'EntityType="Erp.Clients"'),
            "entity set 'Customers' can't be used: its type Erp.Clients is not in the metadata",
        ),
        (
            whole.replace(b'EntitySet Name="Customers"', b'EntitySet Name="Clients"'),
            "entity set 'Customers' is not in the service's metadata",
        ),
        (
            whole[:customers]
            + whole[customers:].replace(
                b'Name="name" Type="Edm.String"', b'Name="name" Type="Acme.Blob"', 1
            ),
            "entity set 'Customers': property 'name' can't be used: the type Acme.Blob, which the",
        ),
        (
            whole[:customers]
            + whole[customers:].replace(b'Name="name" Type', b'Name="Name1" Type', 1),
            "entity set 'Customers' has no property 'name'; did you mean 'Name1'?",
        ),
    ]
    for body, sentence in cases:
        assert body != whole
        erp.between.rule = metadata(body)
        # Commands that don't fit it either are faults of the file.
        wrong(erp, sentence, code=2)
    with bridge.running("--only", "capture") as run:
        run.says(r"entity state: .*has no property 'name'.*entity=erp.customer state=unavailable")
        erp.until_products()
        erp.put("Products", "P2", name="Jug", stock=1)
        erp.until_products()
        says = ("erp.customer can't be captured for now", "has no property 'name'")
        bridge.fails("status", code=1, says=says)
        # So it is with reads.
        [jug] = bridge.call("get", "product", "P2", "--json").rows
        assert jug["name"] == "Jug"
        bridge.fails(
            "get", "customer", "C1", code=1, says=("can be neither read", "no column 'name'")
        )
    erp.between.rule = nothing
    with bridge.running() as run:
        run.says("streaming")
        erp.until_customers()
        erp.put("Customers", "C2", name="Bob")
        erp.until_customers()
    assert bridge.call("check").code == 0


@pytest.mark.usefixtures("processes")
def test_a_relation_to_what_is_not_declared_is_named_with_its_line(erp: GuardedService) -> None:
    erp.edit(**{"{entity: customer, from: customer_id}": "{entity: client, from: customer_id}"})
    bridge = erp.bridge
    says = ("systems/erp.yaml:15:", "entities.order.relations.customer", "client")
    bridge.fails("check", code=2, says=says)
    bridge.fails("run", code=2, says=says)


@pytest.mark.usefixtures("processes")
def test_options_and_logins_that_nobody_knows_are_named_with_their_lines(
    erp: GuardedService,
) -> None:
    erp.edit(**{"capture: {poll: 0.2,": "login: {pasword: x}\ncapture: {pol: 0.2,"})
    says = ("systems/erp.yaml:4: login.pasword", "systems/erp.yaml:5: capture.pol:")
    erp.bridge.fails("check", code=2, says=says)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("reaction", "text"),
    [
        (page("Please log in"), "a web page ('Please log in') came instead of OData"),
        (
            CannedResponse(200, b'{"error": {"code": "7", "message": "Locked"}}', JSON),
            "GET Customers: Locked",
        ),
        (
            CannedResponse(403, b'{"error": {"message": "Not you"}}', JSON),
            "Not you; the login has no right to",
        ),
        (
            CannedResponse(200, b'{"value": 7}', JSON),
            "GET Customers: the answer is no list of rows",
        ),
    ],
)
def test_an_entity_set_that_answers_wrongly_leaves_the_rest_captured(
    erp: GuardedService, reaction: CannedResponse, text: str
) -> None:
    bridge = erp.bridge
    with bridge.running() as run:
        run.says("streaming")
        erp.until_customers()
        erp.between.rule = at("Customers", reaction)
        erp.put("Products", "P2", name="Jug", stock=1)
        erp.until_products()
        bridge.fails("check", code=1, says=("system 'erp'", "Customers", text))
        assert bridge.call("get", "product", "P2").code == 0
        assert bridge.call("get", "customer", "C1", "--fresh").code != 0
        erp.put("Customers", "C2", name="Bob")
        erp.between.rule = nothing
        erp.until_customers()


@pytest.mark.usefixtures("processes")
def test_half_a_page_is_asked_for_again_and_no_row_of_it_is_lost(erp: GuardedService) -> None:
    whole = erp.users.get("Customers").content
    halves = [
        CannedResponse(200, whole[: len(whole) // 2], JSON),
        CannedResponse(200, whole[: len(whole) // 2], JSON, length=len(whole)),
    ]
    with erp.bridge.running() as run:
        run.says("streaming")
        for number, half in enumerate(halves):
            erp.between.rule = at("Customers", half)
            erp.put("Customers", f"H{number}", name="Half")
            erp.put("Products", "P2", name="Jug", stock=number)
            erp.until_products()
            erp.asks_on()
            erp.bridge.fails("check", code=1, says=("GET Customers", "answer"))
            erp.between.rule = nothing
            erp.until_customers()


@pytest.mark.usefixtures("processes")
def test_metadata_that_is_none_is_refused_with_what_to_correct(erp: GuardedService) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    outside = b'<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]><x>&file;</x>'
    cases: list[tuple[Rule, str]] = [
        (metadata(bomb + b"<x>&b;</x>"), "$metadata has a document type (<!DOCTYPE ...>)"),
        (metadata(outside), "$metadata has a document type (<!DOCTYPE ...>)"),
        (metadata(document(erp.cap)[:2000]), "$metadata is no XML"),
        (metadata(b"<feed/>"), "$metadata begins with <feed>, not with <Edmx>: is the url"),
        (metadata(b'{"value": []}'), "$metadata is JSON without $Version, so no CSDL"),
        (
            at("$metadata", CannedResponse(404, b"nothing")),
            "404: nothing; `url` should be the root",
        ),
        (at("$metadata", page("Fiori")), "a web page ('Fiori') came instead of OData"),
    ]
    for rule, sentence in cases:
        erp.between.rule = rule
        wrong(erp, sentence)
    with erp.bridge.running() as run:
        assert run.ends() == 1
        assert "a web page ('Fiori')" in run.text


@pytest.mark.usefixtures("processes")
def test_a_service_that_moved_is_told_and_the_login_goes_nowhere_else(erp: GuardedService) -> None:
    bridge = erp.bridge
    strangers: list[ForwardedRequest] = []

    def stranger(request: ForwardedRequest) -> CannedResponse:
        strangers.append(request)
        return CannedResponse(200, b"{}", JSON)

    other = HttpProxy("http://127.0.0.1:1")
    other.rule = stranger
    with standing(other):
        for status, where in (
            (301, f"{other.address}/new/erp/"),
            (308, f"{other.address}/odata/v4/erp/$metadata"),
            (302, "/login?next=erp"),
        ):
            moved = CannedResponse(status, b"", {"Location": where})
            erp.between.rule = everywhere(moved)
            sentences = (f"the service redirects ({status}) to", where.partition("?")[0])
            wrong(erp, *sentences, "correct `url`")
        bridge.fails("get", "customer", "C1", code=2, says=sentences)
        with bridge.running() as run:
            assert run.ends() == 1
        # Pages behind the first one are asked for at the service itself, whatever it says.
        link = f"{other.address}/elsewhere/Customers?$skip=1"
        page = {"value": [], "@odata.nextLink": link}
        erp.between.rule = at("Customers", CannedResponse(200, json.dumps(page).encode(), JSON))
        link = f"returned a link to {other.address}/elsewhere/Customers, which is outside of `url`"
        bridge.fails("get", "customer", code=2, says=[link])
    assert strangers == []


@pytest.mark.usefixtures("processes")
def test_a_command_that_does_not_fit_the_metadata_is_named_at_its_line(erp: GuardedService) -> None:
    erp.edit(**{"PATCH Customers(:key) name=:name": "PATCH Customers(:key) nam=:name"})
    erp.edit(**{"POST Customers ID=:key, name=:name": "GET Customers ID=:key, name=:name"})
    says = (
        "systems/erp.yaml:33: commands.rename_customer.run: entity set 'Customers' has no property",
        "'nam'; did you mean 'name'?",
        "commands.add_customer.run: GET changes nothing: it belongs in `probe:`",
    )
    assert erp.bridge.call("check").code != 0
    text = erp.bridge.call("check").text
    for part in says:
        assert part in text


def test_tokens_are_renewed_and_a_token_server_that_fails_is_named(
    tmp_path: Path, private_cap: PrivateCap
) -> None:
    cap = private_cap("oauth", token_seconds=4)
    login = "login: {{oauth2: {{token_url: {}/-/token, client_id: client, client_secret: {}}}}}\n"
    secrets = {"CLIENT_SECRET": secret("client")}
    with standing(HttpProxy(cap.address)) as tokens:
        login_lines = login.format(tokens.address, "'${env:CLIENT_SECRET}'")
        with service(
            tmp_path / "bridge", cap, url=cap.bare, login=login_lines, secrets=secrets
        ) as erp:
            bridge = erp.bridge
            with bridge.running() as run:
                run.says("streaming")
                cap.forget()
                erp.asks_on(60)
                # One at first, one because it was forgotten, others because they expired.
                wait_until(lambda: len(tokens.requests) > 3, describe=lambda: run.text)
                # As a word: times of log lines have six digits after the point.
                assert re.search(r"\b401\b", run.text) is None
                tokens.rule = everywhere(DROP)
                named = f"the token's server {tokens.address}/-/token"
                run.says(rf"source state: system 'erp': {named}.*state=retrying")
                bridge.fails("check", code=1, says=("system 'erp'", named))
                tokens.rule = nothing
                run.says("state=retrying.*state=streaming")
            bridge.secret("CLIENT_SECRET", "wr0ng")
            says = (f"{named} issued no token (401: invalid_client); check `login.oauth2`",)
            bridge.fails("check", code=1, says=says)
            with bridge.running() as run:
                assert run.ends() == 1
                assert says[0] in run.text


def test_a_refused_csrf_token_is_fetched_anew_once_and_then_told(
    tmp_path: Path, private_cap: PrivateCap
) -> None:
    cap = private_cap(csrf=True)
    cap.fill(orders=0, products=1, customers=2)
    send = ("commands", "send", "rename_customer", "--key", "C1", "--arg")
    with service(tmp_path / "bridge", cap) as erp, erp.bridge.running() as run:
        run.says("streaming")
        assert erp.bridge.call(*send, "name=Ann", "--wait", "60").code == 0
        cap.forget()
        assert erp.bridge.call(*send, "name=Bea", "--wait", "60").code == 0
        assert erp.customers()["C1"]["name"] == "Bea"
        fetched = sum("x-csrf-token" in request.headers for request in erp.between.requests)
        assert fetched >= 4

        def refuses(request: ForwardedRequest) -> CannedResponse | None:
            required = {"X-CSRF-Token": "Required"}
            return None if request.method == "GET" else CannedResponse(403, b"no", required)

        erp.between.rule = refuses
        erp.bridge.call(*send, "name=Cid", "--wait", "3")
        run.says("refuses the x-csrf-token that it has just issued; its cookies have to be sent")
        erp.between.rule = nothing
        wait_until(lambda: erp.customers()["C1"]["name"] == "Cid", describe=lambda: run.text)
        erp.until_customers()


def test_certificates_that_do_not_fit_are_named(cap: Cap, tmp_path: Path) -> None:
    ca, server, mine = certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    tls.load_cert_chain(server)
    tls.verify_mode = ssl.CERT_REQUIRED
    login = f"tls: {{ca: {ca}, certificate: {mine}}}\n"
    with service(tmp_path / "bridge", cap, login=login, tls=tls) as erp:
        assert erp.bridge.call("check").code == 0
        whole = erp.file.read_text()
        for sentence, what in (
            (f"tls: {{certificate: {mine}}}\n", "certificate is not trusted"),
            (f"tls: {{ca: {ca}}}\n", "see `certificate` under `tls:`"),
        ):
            erp.file.write_text(whole.replace(login, sentence))
            wrong(erp, what)
        erp.file.write_text(whole.replace(login, f"tls: {{ca: {tmp_path}/none.pem}}\n"))
        wrong(erp, "systems/erp.yaml:", "tls: the files under `tls:` can't be used", code=2)


def wrong(erp: GuardedService, *says: str, code: int = 1) -> None:
    """`check` names it; inside of this process, as it is asked again and again."""
    answer = erp.bridge.inside("check")
    assert answer.code == code, answer
    for part in ("system 'erp'", *says):
        assert part in answer.text, (part, answer)
