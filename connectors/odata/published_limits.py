"""Limits that makers of OData services publish. Pure.

What a page states of another version, per environment or for SAP Business One (whose number of
sessions depends on its licences and set-up) isn't here: it is set under `limits:`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from bridge.connector import PublishedLimits, System
from bridge.model.specs import SystemLimits, WindowLimit
from connectors.odata.capture.options import options_of

DATAVERSE: Final = PublishedLimits(
    "Dataverse",
    SystemLimits(
        connections=52,
        windows=(WindowLimit(6000, 300.0), WindowLimit(1200.0, 300.0, "seconds")),
        batch_operations=1000,
    ),
    "https://learn.microsoft.com/power-apps/developer/data-platform/api-limits",
    "they are defaults of each web server, for each user, and may vary between environments",
)
BUSINESS_CENTRAL: Final = PublishedLimits(
    "Business Central",
    SystemLimits(connections=100, windows=(WindowLimit(6000, 300.0),), batch_operations=100),
    "https://learn.microsoft.com/training/modules/work-with-api/4-limits",
    "6,000 requests in 5 minutes are each user's; of the requests at the same time the service may "
    "let some wait",
)
_BY_NAME: Final = {"dataverse": DATAVERSE, "business_central": BUSINESS_CENTRAL, "other": None}


def published_limits(system: System) -> PublishedLimits | None:
    """Those of the service named by `service`, or else recognised by its host: Dataverse is
    `ORG.crmN.dynamics.com`, Business Central `api.businesscentral.dynamics.com`.
    """
    service = options_of(system.options).service
    if service is not None:
        return _BY_NAME[service]
    labels = (urlsplit(system.url).hostname or "").split(".")
    if labels[-2:] != ["dynamics", "com"]:
        return None
    if labels[:-2] == ["api", "businesscentral"]:
        return BUSINESS_CENTRAL
    return DATAVERSE if len(labels) == 4 and labels[1].startswith("crm") else None
