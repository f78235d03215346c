"""A trading company's service in the shape of Northwind, V4 and V2, that answers by itself.

Composite keys, a hierarchy, pictures as streams and as bytes, and views: some whose key is made of
whatever isn't null, one without any. It filters nothing: it has few rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.http_proxy import CannedResponse, ForwardedRequest


@dataclass(frozen=True)
class Type:
    """An entity type: its key, properties (`name: V4's type facets...`), and to-one relations
    (`name: target set, own properties`).
    """

    set: str
    key: Sequence[str]
    properties: Mapping[str, str]
    to: Mapping[str, tuple[str, Sequence[str]]]
    stream: bool = False


def _type(
    of: str,
    key: str,
    properties: Mapping[str, str],
    to: Mapping[str, tuple[str, Sequence[str]]] | None = None,
    *,
    stream: bool = False,
) -> Type:
    return Type(of, key.split(), properties, to or {}, stream)


MONEY = "Decimal Precision=19 Scale=4"
TYPES = (
    _type(
        "Categories",
        "CategoryID",
        {
            "CategoryID": "Int32!",
            "CategoryName": "String! MaxLength=15",
            "Description": "String",
            "Picture": "Binary",
        },
    ),
    _type(
        "Suppliers",
        "SupplierID",
        {
            "SupplierID": "Int32!",
            "CompanyName": "String! MaxLength=40",
            "HomePage": "String",
            "Fax": "String MaxLength=24",
        },
    ),
    _type(
        "Products",
        "ProductID",
        {
            "ProductID": "Int32!",
            "ProductName": "String! MaxLength=40",
            "SupplierID": "Int32",
            "CategoryID": "Int32",
            "QuantityPerUnit": "String MaxLength=20",
            "UnitPrice": MONEY,
            "UnitsInStock": "Int16",
            "Discontinued": "Boolean!",
        },
        {
            "Category": ("Categories", ["CategoryID"]),
            "Supplier": ("Suppliers", ["SupplierID"]),
        },
    ),
    _type(
        "Customers",
        "CustomerID",
        {
            "CustomerID": "String! MaxLength=5",
            "CompanyName": "String! MaxLength=40",
            "Country": "String MaxLength=15",
        },
    ),
    _type(
        "Employees",
        "EmployeeID",
        {
            "EmployeeID": "Int32!",
            "LastName": "String! MaxLength=20",
            "BirthDate": "Moment",
            "Photo": "Binary",
            "ReportsTo": "Int32",
            "PhotoPath": "String MaxLength=255",
        },
        {"Employee1": ("Employees", ["ReportsTo"])},
        stream=True,
    ),
    _type(
        "Orders",
        "OrderID",
        {
            "OrderID": "Int32!",
            "CustomerID": "String MaxLength=5",
            "EmployeeID": "Int32",
            "OrderDate": "Moment",
            "Freight": MONEY,
        },
        {
            "Customer": ("Customers", ["CustomerID"]),
            "Employee": ("Employees", ["EmployeeID"]),
        },
    ),
    _type(
        "Order_Details",
        "OrderID ProductID",
        {
            "OrderID": "Int32!",
            "ProductID": "Int32!",
            "UnitPrice": MONEY.replace("Decimal", "Decimal!"),
            "Quantity": "Int16!",
            "Discount": "Single!",
        },
        {"Order": ("Orders", ["OrderID"]), "Product": ("Products", ["ProductID"])},
    ),
    _type(
        "Alphabetical_list_of_products",
        "CategoryName Discontinued ProductID ProductName",
        {
            "CategoryName": "String! MaxLength=15",
            "Discontinued": "Boolean!",
            "ProductID": "Int32!",
            "ProductName": "String! MaxLength=40",
            "UnitPrice": MONEY,
        },
    ),
    _type(
        "Order_Details_Extendeds",
        "Discount OrderID ProductID",
        {
            "OrderID": "Int32!",
            "ProductID": "Int32!",
            "Discount": "Single!",
            "ExtendedPrice": MONEY,
        },
    ),
    _type("Sales_Totals_by_Amounts", "", {"SaleAmount": MONEY, "CompanyName": "String"}),
)
ROWS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "Categories": [
        {"CategoryID": 1, "CategoryName": "Tea", "Description": "Leaves", "Picture": "AQID"}
    ],
    "Products": [
        {
            "ProductID": 1,
            "ProductName": "Green",
            "SupplierID": None,
            "CategoryID": 1,
            "QuantityPerUnit": "10 boxes",
            "UnitPrice": "18.0000",
            "UnitsInStock": 39,
            "Discontinued": False,
        }
    ],
    "Order_Details": [
        {"OrderID": 7, "ProductID": 1, "UnitPrice": "18.0000", "Quantity": 2, "Discount": 0.5}
    ],
}
_MOMENT = {"v4": "Edm.DateTimeOffset", "v2": "Edm.DateTime"}


def answer(request: ForwardedRequest, version: str, document: bytes) -> CannedResponse:
    """What the service answers, whatever host it stands on; its root is the first path segment."""
    split = urlsplit(request.path)
    name = unquote(split.path.strip("/").partition("/")[2])
    if name == "$metadata":
        return CannedResponse(200, document, {"Content-Type": "application/xml"})
    if name and name not in {entity_type.set for entity_type in TYPES}:
        error = {"error": {"code": "", "message": f"Resource not found for the segment '{name}'."}}
        return _json(404, error)
    options = dict(parse_qsl(split.query))
    rows = list(ROWS.get(name, []))[: int(options.get("$top", "1000"))]
    return _json(200, {"value": rows} if version == "v4" else {"d": {"results": rows}})


def _json(status: int, body: Any) -> CannedResponse:
    return CannedResponse(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _type_name(of: str) -> str:
    return "Category" if of == "Categories" else of.removesuffix("s")


def _property(name: str, facets_text: str, version: str) -> str:
    kind, *facets = facets_text.split()
    edm = _MOMENT[version] if kind.rstrip("!") == "Moment" else f"Edm.{kind.rstrip('!')}"
    nullable = ' Nullable="false"' if kind.endswith("!") else ""
    attributes = "".join(f' {facet.replace("=", chr(61) + chr(34))}"' for facet in facets)
    return f'<Property Name="{name}" Type="{edm}"{nullable}{attributes}/>'


def _head(entity_type: Type) -> str:
    refs = "".join(f'<PropertyRef Name="{name}"/>' for name in entity_type.key)
    return f"<Key>{refs}</Key>" if refs else ""


def v4() -> bytes:
    """The metadata of V4."""
    out = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">',
        '<edmx:DataServices><Schema Namespace="TradersModel"',
        ' xmlns="http://docs.oasis-open.org/odata/ns/edm">',
    ]
    for entity_type in TYPES:
        stream = ' HasStream="true"' if entity_type.stream else ""
        out += [f'<EntityType Name="{_type_name(entity_type.set)}"{stream}>', _head(entity_type)]
        out += [
            _property(name, facets_text, "v4")
            for name, facets_text in entity_type.properties.items()
        ]
        for name, (to, by) in entity_type.to.items():
            target = next(other for other in TYPES if other.set == to)
            pairs = zip(by, target.key, strict=True)
            out.append(
                f'<NavigationProperty Name="{name}" Type="TradersModel.{_type_name(to)}"'
                f' Partner="{_back(entity_type, name)}">'
                + "".join(
                    f'<ReferentialConstraint Property="{own}" ReferencedProperty="{other}"/>'
                    for own, other in pairs
                )
                + "</NavigationProperty>"
            )
        for other, name in _towards(entity_type):
            out.append(
                f'<NavigationProperty Name="{_back(other, name)}"'
                f' Type="Collection(TradersModel.{_type_name(other.set)})" Partner="{name}"/>'
            )
        out.append("</EntityType>")
    out += [
        '</Schema><Schema Namespace="TradersWeb" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
        '<EntityContainer Name="TradersEntities">',
    ]
    for entity_type in TYPES:
        out.append(
            f'<EntitySet Name="{entity_type.set}" EntityType="TradersModel.{_type_name(entity_type.set)}">'
        )
        out += [
            f'<NavigationPropertyBinding Path="{name}" Target="{to}"/>'
            for name, (to, _) in entity_type.to.items()
        ]
        out += [
            f'<NavigationPropertyBinding Path="{_back(other, name)}" Target="{other.set}"/>'
            for other, name in _towards(entity_type)
        ]
        out.append("</EntitySet>")
    return "\n".join([*out, "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"]).encode()


def v2() -> bytes:
    """The metadata of V2, in two schemas as Microsoft's services have it."""
    out = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">',
        '<edmx:DataServices m:DataServiceVersion="1.0"',
        ' xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">',
        '<Schema Namespace="TradersModel" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">',
    ]
    ends: list[str] = []
    for entity_type in TYPES:
        stream = ' m:HasStream="true"' if entity_type.stream else ""
        out += [f'<EntityType Name="{_type_name(entity_type.set)}"{stream}>', _head(entity_type)]
        out += [
            _property(name, facets_text, "v2")
            for name, facets_text in entity_type.properties.items()
        ]
        for name in entity_type.to:
            out.append(_leads(name, entity_type, name, "Many", "One"))
        for other, name in _towards(entity_type):
            out.append(_leads(_back(other, name), other, name, "One", "Many"))
        out.append("</EntityType>")
    for entity_type in TYPES:
        for name, (to, by) in entity_type.to.items():
            target = next(other for other in TYPES if other.set == to)
            out += [
                f'<Association Name="FK_{entity_type.set}_{name}">',
                f'<End Role="One" Type="TradersModel.{_type_name(to)}" Multiplicity="0..1"/>',
                f'<End Role="Many" Type="TradersModel.{_type_name(entity_type.set)}" Multiplicity="*"/>',
                "<ReferentialConstraint>",
                _side("Principal", "One", target.key),
                _side("Dependent", "Many", by),
                "</ReferentialConstraint></Association>",
            ]
            ends += [
                f'<AssociationSet Name="FK_{entity_type.set}_{name}"',
                f' Association="TradersModel.FK_{entity_type.set}_{name}">',
                f'<End Role="One" EntitySet="{to}"/><End Role="Many" EntitySet="{entity_type.set}"/>',
                "</AssociationSet>",
            ]
    out += [
        '</Schema><Schema Namespace="TradersWeb"',
        ' xmlns="http://schemas.microsoft.com/ado/2008/09/edm">',
        '<EntityContainer Name="TradersEntities" m:IsDefaultEntityContainer="true">',
        *(
            f'<EntitySet Name="{x.set}" EntityType="TradersModel.{_type_name(x.set)}"/>'
            for x in TYPES
        ),
        *ends,
    ]
    return "\n".join([*out, "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"]).encode()


def _side(kind: str, role: str, names: Sequence[str]) -> str:
    refs = "".join(f'<PropertyRef Name="{name}"/>' for name in names)
    return f'<{kind} Role="{role}">{refs}</{kind}>'


def _leads(name: str, owner: Type, relation: str, own: str, to: str) -> str:
    return (
        f'<NavigationProperty Name="{name}" FromRole="{own}" ToRole="{to}"'
        f' Relationship="TradersModel.FK_{owner.set}_{relation}"/>'
    )


def _towards(entity_type: Type) -> list[tuple[Type, str]]:
    """The types that lead to this one, and by what."""
    return [
        (other, name)
        for other in TYPES
        for name, (to, _) in other.to.items()
        if to == entity_type.set
    ]


def _back(entity_type: Type, name: str) -> str:
    """What the way back of a relation is called."""
    return "Employees1" if name == "Employee1" else entity_type.set
