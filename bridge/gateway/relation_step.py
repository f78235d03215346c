"""From rows along one of their relations: which keys it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bridge.gateway.key_lookup import Fields, KeyLookup
from bridge.gateway.peers.peer_group import PeerGroup
from bridge.gateway.peers.peers import PeerLink
from bridge.model.errors import BridgeError
from bridge.model.types import Relation

Values = tuple[Any, ...]


class RelationStep(NamedTuple):
    """starts: the fields of a row that hold what the relation leads to. lookup: of those rows."""

    relation: Relation
    starts: Fields
    lookup: KeyLookup

    def values(self, rows: Sequence[Any]) -> list[Values]:
        """What each row leads to; a row whose values have a null leads nowhere."""
        return [tuple([row[field] for field in self.starts]) for row in rows]

    def peer_keys(self, rows: Sequence[Any]) -> list[Values | None]:
        """The same in the source's form; None for a row that leads nowhere, or whose key can't be
        asked for, which is no error of its peers.
        """
        keys: list[Values | None] = []
        for row in rows:
            try:
                [values] = self.values((row,))
                outward = self.lookup.table.outward
                keys.append(None if None in values else outward(self.lookup.fields, values))
            except BridgeError:
                keys.append(None)
        return keys

    def link(self, group: PeerGroup, source_key: Values) -> PeerLink:
        """The step of one of the group's rows, to this key."""
        return PeerLink(group, self.relation.name, self.lookup, source_key, self.peer_keys)
