"""Topics that a page names are those of the bridge: access lists are written by them."""

import re

from bridge.model.names import (
    CONTROL,
    GATEWAYS,
    POSITIONS,
    SCHEMA_IDS,
    SCHEMAS,
    STATUS,
    SYSTEM_TOPICS,
    internal_topic,
    replay_topic,
)
from tests.docs.pages import ROOT

INTERNAL = {
    internal_topic("BRIDGE", name)
    for name in (CONTROL, GATEWAYS, POSITIONS, SCHEMA_IDS, SCHEMAS, STATUS)
}
OWN = (
    INTERNAL
    | {replay_topic("BRIDGE", "AGENT"), "BRIDGE.SYSTEM.ENTITY"}
    | {f"BRIDGE.{name}" for name in SYSTEM_TOPICS}
)


def test_every_topic_of_the_authority_page_exists() -> None:
    page = (ROOT / "docs" / "authority.md").read_text()
    written = set(re.findall(r"`(_?BRIDGE\.[A-Za-z_.]+[A-Za-z_])`", page))
    assert written >= INTERNAL
    assert written <= OWN, written - OWN
