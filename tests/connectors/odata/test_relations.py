"""Relations of a draft: what the metadata says, and what names suggest."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from connectors.odata.draft.system_file import draft
from connectors.odata.metadata.document import parse_metadata
from tests.connectors.odata.things_service import V2, prop


def order_service(*, constraint: bool = False) -> bytes:
    """Orders, items and their schedule lines in SAP's way: associations without constraints."""
    by = (
        '<ReferentialConstraint><Principal Role="F"><PropertyRef Name="SalesOrder"/></Principal>'
        '<Dependent Role="T"><PropertyRef Name="SalesOrder"/></Dependent></ReferentialConstraint>'
        if constraint
        else ""
    )
    return (
        '<edmx:Edmx Version="1.0" xmlns:edmx="x"><edmx:DataServices>'
        f'<Schema Namespace="N" xmlns="{V2}">'
        '<EntityType Name="OrderType"><Key><PropertyRef Name="SalesOrder"/></Key>'
        f"{prop('SalesOrder')}{prop('SoldToParty')}"
        '<NavigationProperty Name="to_Item" Relationship="N.A" FromRole="F" ToRole="T"/></EntityType>'
        '<EntityType Name="ItemType"><Key><PropertyRef Name="SalesOrder"/><PropertyRef Name="Item"/>'
        f"</Key>{prop('SalesOrder')}{prop('Item')}"
        '<NavigationProperty Name="to_Order" Relationship="N.A" FromRole="T" ToRole="F"/>'
        '<NavigationProperty Name="to_Line" Relationship="N.B" FromRole="F" ToRole="T"/></EntityType>'
        '<EntityType Name="LineType"><Key><PropertyRef Name="SalesOrder"/><PropertyRef Name="Item"/>'
        f'<PropertyRef Name="Line"/></Key>{prop("SalesOrder")}{prop("Item")}{prop("Line")}</EntityType>'
        f'<Association Name="A"><End Role="F" Type="N.OrderType" Multiplicity="1"/>'
        f'<End Role="T" Type="N.ItemType" Multiplicity="*"/>{by}</Association>'
        '<Association Name="B"><End Role="F" Type="N.ItemType" Multiplicity="1"/>'
        '<End Role="T" Type="N.LineType" Multiplicity="*"/></Association>'
        '<EntityContainer Name="C"><EntitySet Name="A_SalesOrder" EntityType="N.OrderType"/>'
        '<EntitySet Name="A_SalesOrderItem" EntityType="N.ItemType"/>'
        '<EntitySet Name="A_Line" EntityType="N.LineType"/>'
        '<AssociationSet Name="AS" Association="N.A"><End Role="F" EntitySet="A_SalesOrder"/>'
        '<End Role="T" EntitySet="A_SalesOrderItem"/></AssociationSet>'
        '<AssociationSet Name="BS" Association="N.B"><End Role="F" EntitySet="A_SalesOrderItem"/>'
        '<End Role="T" EntitySet="A_Line"/></AssociationSet></EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


def test_relations_that_the_names_tell_are_suggested_as_comments() -> None:
    text = draft(parse_metadata(order_service()))
    entities = YAML(typ="safe").load(text)["entities"]
    assert not any("relations" in entity for entity in entities.values()), "nothing is guessed"
    uncommented = re.sub(r"^( *)# (relations:|to_\w+: \{)", r"\1\2", text, flags=re.MULTILINE)
    entities = YAML(typ="safe").load(uncommented)["entities"]
    declared = YAML(typ="safe").load(draft(parse_metadata(order_service(constraint=True))))[
        "entities"
    ]
    order = entities["a_sales_order"]["relations"]
    assert order == {"to_item": {"entity": "a_sales_order_item", "by": "sales_order"}}
    assert order == declared["a_sales_order"]["relations"]
    item = entities["a_sales_order_item"]["relations"]
    assert item == {"to_order": {"entity": "a_sales_order", "from": "sales_order"}}
    assert "# to_Line: left out, the metadata don't say by which property" in text


def two_sets(own: str, target: str, nav: str, *, sets: str = "") -> bytes:
    """`Ones`, whose rows lead to one of `Twos`; properties by name, the first is the key."""
    types = "".join(
        f'<EntityType Name="{name}"><Key><PropertyRef Name="{names.split()[0]}"/></Key>'
        + "".join(map(prop, names.split()))
        + more
        + "</EntityType>"
        for name, names, more in (
            (
                "One",
                own,
                f'<NavigationProperty Name="{nav}" Relationship="N.A" FromRole="F" ToRole="T"/>',
            ),
            ("Two", target, ""),
        )
    )
    return (
        f'<edmx:Edmx Version="1.0" xmlns:edmx="x"><edmx:DataServices><Schema Namespace="N" xmlns="{V2}">'
        f'{types}<Association Name="A"><End Role="F" Type="N.One" Multiplicity="*"/>'
        '<End Role="T" Type="N.Two" Multiplicity="0..1"/></Association><EntityContainer Name="C">'
        '<EntitySet Name="Ones" EntityType="N.One"/><EntitySet Name="Twos" EntityType="N.Two"/>'
        f"{sets}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


@pytest.mark.parametrize(
    ("own", "target", "nav", "field"),
    [
        ("ID Customer_ID", "ID", "Customer", "customer_id"),
        ("ID CustomerID", "ID", "to_Customer", "customer_id"),
        ("Order SoldToParty", "Customer", "to_SoldToParty", "sold_to_party"),
        ("Order Customer", "Customer", "to_Partner", "customer"),
        ("ID", "ID", "Customer", ""),
        ("ID Other", "ID", "Customer", ""),
    ],
)
def test_a_property_that_is_called_like_what_it_leads_to_is_suggested(
    own: str, target: str, nav: str, field: str
) -> None:
    text = draft(parse_metadata(two_sets(own, target, nav)))
    suggested = re.findall(r"# \w+: \{entity: twos, from: (\w+)\}  # by their names", text)
    assert suggested == ([field] if field else [])
