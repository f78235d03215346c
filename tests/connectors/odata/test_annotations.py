"""What annotations of a service allow: SAP's own among them."""

from __future__ import annotations

from connectors.odata.metadata.document import parse_metadata
from tests.connectors.odata.things_service import ID, document, prop

RAP = """<edmx:Reference Uri="x"><edmx:Include Namespace="Org.OData.Capabilities.V1" Alias="SAP__cap"/>
</edmx:Reference>"""


def test_ranges_that_may_be_asked_for_once_are_no_refusal() -> None:
    """S/4's V4 services announce `SingleRange` for times of change, under aliases of their own."""
    terms = (
        '<Annotations Target="SAP__self.C/Things"><Annotation Term="SAP__cap.FilterRestrictions"><Record>'
        '<PropertyValue Property="FilterExpressionRestrictions"><Collection><Record>'
        '<PropertyValue Property="Property" PropertyPath="LastChangeDateTime"/>'
        '<PropertyValue Property="AllowedExpressions" String="SingleRange"/></Record></Collection>'
        '</PropertyValue><PropertyValue Property="NonFilterableProperties"><Collection>'
        "<PropertyPath>__EntityControl</PropertyPath></Collection></PropertyValue></Record></Annotation>"
        '<Annotation Term="SAP__cap.DeleteRestrictions"><Record><PropertyValue Property="Deletable"'
        ' Path="__EntityControl/Deletable"/></Record></Annotation></Annotations>'
    )
    text = document(ID + prop("LastChangeDateTime", "Edm.DateTimeOffset"), more=terms).decode()
    text = text.replace("<edmx:DataServices>", f"{RAP}<edmx:DataServices>")
    text = text.replace('<Schema Namespace="N"', '<Schema Namespace="N" Alias="SAP__self"')
    [things] = parse_metadata(text.encode()).sets.values()
    assert things.changed == "LastChangeDateTime"
    assert things.can_page_by("LastChangeDateTime")
    assert things.deletable
    assert things.unfilterable == {"__EntityControl"}
