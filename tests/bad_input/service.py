"""SAP CAP's ERP behind a proxy that may answer wrongly; three of its entity sets are captured."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bad_input.guarded_bridge import GuardedBridge
from tests.http_proxy import CannedResponse, HttpProxy, Rule, standing
from tests.services.cap import PASSWORD, Cap
from tests.waiting import wait_until

SYSTEM = """\
system: erp
connector: odata
url: {url}
{login}capture: {{poll: 0.2, overlap: 1, reconcile: 1, in_doubt_timeout: 2, timeout: 60}}
entities:
  order:
    from: Orders
    key: id
    fields:
      id: {{from: ID}}
      number: {{from: number}}
      status: {{from: status}}
      customer_id: {{from: customer_ID}}
    relations:
      customer: {{entity: customer, from: customer_id}}
  product:
    from: Products
    key: id
    fields:
      id: {{from: ID}}
      name: {{from: name}}
      stock: {{from: stock}}
  customer:
    from: Customers
    key: id
    fields:
      id: {{from: ID}}
      name: {{from: name}}
commands:
  rename_customer:
    entity: customer
    args: {{name: {{type: string}}}}
    run: "PATCH Customers(:key) name=:name"
    tier: outside_the_loop
  add_customer:
    entity: customer
    args: {{name: {{type: string}}}}
    run: "POST Customers ID=:key, name=:name"
    tier: outside_the_loop
"""


@dataclass
class GuardedService:
    """`place` captures the ERP through `between`; `users` are the ERP's own, who go around it."""

    bridge: GuardedBridge
    cap: Cap
    between: HttpProxy
    users: httpx.Client

    @property
    def file(self) -> Path:
        return self.bridge.folder / "systems" / "erp.yaml"

    def edit(self, **values: str) -> None:
        """Change words of the system file."""
        text = self.file.read_text()
        for old, new in values.items():
            assert old in text, old
            text = text.replace(old, new)
        self.file.write_text(text)

    def put(self, of: str, key: str, **values: Any) -> None:
        """A user makes or changes a row."""
        body = {"ID": key, **values}
        answer = self.users.put(f"{of}('{key}')", json=body, headers={"If-Match": "*"})
        if answer.status_code in {404, 412}:
            answer = self.users.post(of, json=body)
        assert answer.is_success, answer.text

    def rows(self, of: str, *names: str) -> dict[str, Any]:
        """The rows as they are, as the events should end."""
        response = self.users.get(of, params={"$select": ",".join(names)}).raise_for_status()
        return {
            row["ID"]: {name.lower(): row[name] for name in names}
            for row in response.json()["value"]
        }

    def customers(self) -> dict[str, Any]:
        return self.rows("Customers", "ID", "name")

    def until_customers(self) -> None:
        """Wait until the log says what the ERP has."""
        wait_until(
            lambda: self.bridge.state("customer", "id") == self.customers(),
            describe=lambda: f"{self.bridge.state('customer', 'id')}\n{self.bridge.last_output()}",
        )

    def asks_on(self, times: int = 20) -> None:
        """Wait until so much more was asked of the service."""
        wanted = len(self.between.requests) + times
        wait_until(
            lambda: len(self.between.requests) >= wanted, describe=lambda: "nothing more is asked"
        )

    def until_products(self) -> None:
        wanted = self.rows("Products", "ID", "name", "stock")
        wait_until(
            lambda: self.bridge.state("product", "id") == wanted,
            describe=lambda: f"{self.bridge.state('product', 'id')}\n{self.bridge.last_output()}",
        )


@contextmanager
def service(
    folder: Path,
    cap: Cap,
    *,
    url: str | None = None,
    login: str = "",
    tls: ssl.SSLContext | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Iterator[GuardedService]:
    """A bridge of the test's own. `url` with its references, by default the V4 service's with its
    password; afterwards nothing that it left holds a secret.
    """
    (folder / "systems").mkdir(parents=True)
    (folder / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///bridge.db\n")
    bridge = GuardedBridge(folder, dict(secrets or {"ERP_PASSWORD": PASSWORD}))
    with standing(HttpProxy(cap.address), tls) as between, cap.client() as users:
        service_url = between.url(url or cap.url.replace(PASSWORD, "${env:ERP_PASSWORD}"))
        (folder / "systems" / "erp.yaml").write_text(SYSTEM.format(url=service_url, login=login))
        yield GuardedService(bridge, cap, between, users)
    bridge.stores_no_secret()


def at(what: str, reaction: CannedResponse | str) -> Rule:
    """This reaction to requests of an entity set, or of `$metadata`."""

    def rule(request: Any) -> CannedResponse | str | None:
        named = request.path.partition("?")[0].rpartition("/")[2]
        return reaction if named.partition("(")[0] == what else None

    return rule


def everywhere(reaction: CannedResponse | str) -> Rule:
    """This reaction to whatever is asked."""
    return lambda _: reaction


def page(title: str, status: int = 200) -> CannedResponse:
    """A web page."""
    body = f"<!DOCTYPE html><html><head><title>{title}</title></head><body/></html>".encode()
    return CannedResponse(status, body, {"Content-Type": "text/html"})


def document(cap: Cap) -> bytes:
    """The service's metadata."""
    return httpx.get(f"{cap.url}$metadata", trust_env=False).raise_for_status().content


def metadata(body: bytes) -> Rule:
    """Other metadata than the service's own."""
    return at("$metadata", CannedResponse(200, body, {"Content-Type": "application/xml"}))
