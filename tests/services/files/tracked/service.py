"""An OData V4 service with change tracking, by odatapy: `python service.py PORT [keep]`.

Sets: `Suites` and `kit_types` (the tables of the connector suite), `Orders` to `Customers`, `Kinds`
(every type).
What tests ask besides, under /-/: GET count, POST reset, POST empty (all as at the start), POST
expire (delta links older than now are answered with 410). SIGTERM writes state.pickle, which the next start reads; with `keep` it is
written before each answer to a write, so that SIGKILL loses nothing that was answered.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from socketserver import ThreadingMixIn
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from odatapy.edm.annotations import Collection, PropertyValue, Record, to_expression
from odatapy.edm.csdl import (
    CsdlAbstractEdmProvider,
    CsdlAnnotation,
    CsdlEntityContainer,
    CsdlEntitySet,
    CsdlEntityType,
    CsdlEnumMember,
    CsdlEnumType,
    CsdlNavigationProperty,
    CsdlNavigationPropertyBinding,
    CsdlProperty,
    CsdlPropertyRef,
    CsdlReferentialConstraint,
    CsdlSchema,
)
from odatapy.errors import ODataApplicationException
from odatapy.http.status import HttpStatusCode
from odatapy.server import OData
from odatapy.server.adapters import ODataWSGIApp
from odatapy.server.inmemory import InMemoryDataStore, InMemoryProcessor
from odatapy.server.processor import CustomETagSupport

WITH_ETAG = ("Orders",)
STATE = Path("state.pickle")
KINDS = {
    "flag": CsdlProperty("flag", "Edm.Boolean"),
    "tiny": CsdlProperty("tiny", "Edm.Byte"),
    "signed": CsdlProperty("signed", "Edm.SByte"),
    "small": CsdlProperty("small", "Edm.Int16"),
    "whole": CsdlProperty("whole", "Edm.Int32"),
    "big": CsdlProperty("big", "Edm.Int64"),
    "exact": CsdlProperty("exact", "Edm.Decimal", precision=15, scale=4),
    "floating": CsdlProperty("floating", "Edm.Decimal", scale="variable"),
    "single": CsdlProperty("single", "Edm.Single"),
    "approx": CsdlProperty("approx", "Edm.Double"),
    "day": CsdlProperty("day", "Edm.Date"),
    "clock": CsdlProperty("clock", "Edm.TimeOfDay", precision=6),
    "instant": CsdlProperty("instant", "Edm.DateTimeOffset", precision=6),
    "span": CsdlProperty("span", "Edm.Duration", precision=6),
    "guid": CsdlProperty("guid", "Edm.Guid"),
    "raw": CsdlProperty("raw", "Edm.Binary"),
    "photo": CsdlProperty("photo", "Edm.Stream"),
    "colour": CsdlProperty("colour", "Erp.Colour"),
    "tags": CsdlProperty("tags", "Edm.String", collection=True),
}


def _set(name: str, kind: str, bindings: dict[str, str] | None = None) -> CsdlEntitySet:
    annotations = [
        CsdlAnnotation(
            "Org.OData.Capabilities.V1.ChangeTracking",
            Record(property_values=[PropertyValue("Supported", to_expression(True))]),
        )
    ]
    if name in WITH_ETAG:
        annotations.append(
            CsdlAnnotation("Org.OData.Core.V1.OptimisticConcurrency", Collection([]))
        )
    return CsdlEntitySet(
        name,
        f"Erp.{kind}",
        navigation_property_bindings=[
            CsdlNavigationPropertyBinding(path, target) for path, target in (bindings or {}).items()
        ],
        annotations=annotations,
    )


class Provider(CsdlAbstractEdmProvider):
    """The model."""

    def get_schemas(self) -> list[CsdlSchema]:
        def text(name: str, length: int) -> CsdlProperty:
            return CsdlProperty(name, "Edm.String", max_length=length)

        def keyed(name: str, length: int) -> CsdlProperty:
            return CsdlProperty(name, "Edm.String", nullable=False, max_length=length)

        price = CsdlProperty("price", "Edm.Decimal", precision=15, scale=2)
        suite = CsdlEntityType(
            name="Suite",
            key=[CsdlPropertyRef("order_no")],
            properties=[
                keyed("order_no", 10),
                text("customer", 200),
                CsdlProperty("qty", "Edm.Int32"),
                price,
            ],
        )
        customer = CsdlEntityType(
            name="Customer",
            key=[CsdlPropertyRef("ID")],
            properties=[keyed("ID", 10), text("name", 80)],
        )
        order = CsdlEntityType(
            name="Order",
            key=[CsdlPropertyRef("ID")],
            properties=[keyed("ID", 10), text("customer_ID", 10), text("status", 1), price],
            navigation_properties=[
                CsdlNavigationProperty(
                    "customer",
                    "Erp.Customer",
                    referential_constraints=[CsdlReferentialConstraint("customer_ID", "ID")],
                )
            ],
        )
        kind = CsdlEntityType(
            name="Kind",
            key=[CsdlPropertyRef("id")],
            properties=[CsdlProperty("id", "Edm.Int32", nullable=False), *KINDS.values()],
        )
        kinds = [field_kind for name, field_kind in KINDS.items() if name not in {"photo", "tags"}]
        types = CsdlEntityType(
            name="Typed",
            key=[CsdlPropertyRef("id")],
            properties=[
                CsdlProperty("id", "Edm.Int32", nullable=False),
                *(replace(field_kind, name=f"c{at}") for at, field_kind in enumerate(kinds)),
            ],
        )
        container = CsdlEntityContainer(
            name="Container",
            entity_sets=[
                _set("Suites", "Suite"),
                _set("Customers", "Customer"),
                _set("Orders", "Order", {"customer": "Customers"}),
                _set("Kinds", "Kind"),
                _set("kit_types", "Typed"),
            ],
        )
        colour = CsdlEnumType(
            name="Colour", members=[CsdlEnumMember("Red", 1), CsdlEnumMember("Blue", 2)]
        )
        return [
            CsdlSchema(
                namespace="Erp",
                entity_types=[suite, customer, order, kind, types],
                enum_types=[colour],
                entity_container=container,
            )
        ]


class Processor(InMemoryProcessor):
    """odatapy's own, whose delta links can expire."""

    floor = 0

    def _read_delta(self, request: Any, response: Any, uri_info: Any, *rest: Any) -> None:
        if int(uri_info.deltatoken) < self.floor:
            raise ODataApplicationException("The delta link has expired.", HttpStatusCode.GONE)
        super()._read_delta(request, response, uri_info, *rest)


class Etags(CustomETagSupport):
    """Orders are changed with If-Match only (428 without); the other sets have no ETags."""

    def has_etag(self, entity_set: Any) -> bool:
        return str(entity_set.name) in WITH_ETAG


class TrackedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing: the tests' output is their own."""


def main(port: int, *, keep: bool) -> None:
    """Serve until SIGTERM."""
    store = InMemoryDataStore()
    processor = Processor(store)
    nothing = pickle.dumps(store.snapshot())
    if STATE.exists():
        snapshot, processor.floor = pickle.loads(STATE.read_bytes())  # noqa: S301 - our own file
        store.restore(snapshot)
    odata = OData.new_instance()
    handler = odata.create_handler(odata.create_service_metadata(Provider()))
    handler.register(processor)
    handler.register(Etags())
    service = ODataWSGIApp(handler, mount_path="/erp")
    counted = {"requests": 0}
    saving = threading.Lock()

    def app(environ: dict[str, Any], respond: Callable[..., object]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith("/-/"):
            counted["requests"] += 1
            answer = service(environ, respond)
            if keep and environ["REQUEST_METHOD"] != "GET":
                save()
            return answer
        if path == "/-/reset":
            counted["requests"] = 0
        if path == "/-/empty":
            processor.floor = 0
            store.restore(pickle.loads(nothing))  # noqa: S301 - our own
        if path == "/-/expire":
            processor.floor = int(store.change_token) + 1
            # So that a link made from now on is beyond those that were.
            store._sequence += 1
            if keep:
                save()
        respond("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(counted).encode()]

    def save() -> None:
        with saving:
            fresh = STATE.with_suffix(".new")
            fresh.write_bytes(pickle.dumps((store.snapshot(), processor.floor)))
            os.replace(fresh, STATE)  # noqa: PTH105 - as one step

    def leave(_: int, __: FrameType | None) -> None:
        if not keep:
            save()
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    server = TrackedServer(("127.0.0.1", port), Quiet)
    server.set_app(app)
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), keep="keep" in sys.argv[2:])
