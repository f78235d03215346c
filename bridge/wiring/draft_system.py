"""Drafts a system file from a legacy system's catalogue."""

from __future__ import annotations

from bridge.config.draft_request import DraftRequest, check_draft
from bridge.connector import unsupported
from bridge.model.errors import Unsupported
from bridge.wiring.connectors import build_system, load_connector


async def draft_system(request: DraftRequest, shown_as: str) -> tuple[str, int]:
    """The file's text and how many entities it declares; it passes `bridgectl check --offline`.

    Raises ConfigurationError for an invalid request, RetryLater while the system is unavailable,
    Unsupported where the connector drafts nothing.
    """
    config = request.system()
    connector = load_connector(config)
    draft = getattr(connector, "draft", None)
    if draft is None:
        raise Unsupported(
            f"{unsupported(connector.name, 'drafts of a system file')}: write its entities as "
            "docs/configuration.md says"
        )
    system = build_system("draft", config, connector)
    body: str = await draft(system)
    text = f"{request.head()}{body.rstrip()}\n"
    return text, len(check_draft(text, shown_as).entities)
