"""What a service says of an error, with its details."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.odata.http.error_text import MAX_DETAILS, service_error_text


def detail(number: int, **more: Any) -> dict[str, Any]:
    return {"code": "V1/311", "message": f"Item {number} is not complete", **more}


def test_every_detail_of_an_error_is_told() -> None:
    """SAP says in `innererror.errordetails` what is wrong, and in `message` that something is."""
    body = {
        "error": {
            "code": "SY/530",
            "message": {"lang": "en", "value": "An exception was raised"},
            "innererror": {
                "transactionid": "A1",
                "errordetails": [detail(1, propertyref="", severity="error"), detail(2)],
            },
        }
    }
    assert service_error_text(body) == (
        "An exception was raised; Item 1 is not complete; Item 2 is not complete"
    )
    v4 = {"error": {"message": "No", "details": [detail(1, target="to_Item(10)"), detail(1)]}}
    assert service_error_text(v4) == "No; Item 1 is not complete (to_Item(10))"
    many = {"error": {"message": "No", "details": [detail(number) for number in range(100)]}}
    text = service_error_text(many)
    assert text.endswith(f"and {101 - MAX_DETAILS} more")
    xml = (
        b'<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code>1</code>'
        b"<message>Refused</message><innererror><errordetails><errordetail><message>Why &amp; how"
        b"</message></errordetail></errordetails></innererror></error>"
    )
    assert service_error_text(xml) == "Refused; Why & how"


@pytest.mark.parametrize("details", [None, 5, "x", [None, 5], {"results": [{"message": "a"}]}, {}])
def test_details_may_be_anything(details: Any) -> None:
    text = service_error_text({"error": {"message": "No", "innererror": {"errordetails": details}}})
    assert text in {"No", "No; a"}
