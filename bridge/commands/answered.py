"""Which commands have their receipt already.

Only two kinds of commands need to ask: one that the ledger knows (it took effect before; was its
receipt written, or did the executor die in between?), and one that comes from a replayed event.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from bridge.log.fixed import FixedCodec
from bridge.log.port import Log, TopicPartition
from bridge.model import headers

MARGIN = timedelta(minutes=10)
"""How far the clocks of the executor and of the log may differ."""
AT_ONCE = 2000


class Answered:
    """Looks for receipts in the log. It reads them from a time on; commands are not indexed."""

    def __init__(self, log: Log, codec: FixedCodec) -> None:
        self._log = log
        self._topic = codec.topic("receipt")

    async def among(self, command_ids: Collection[str], since: datetime | None) -> set[str]:
        """Those of `command_ids` that have a receipt written after `since` (None: ever)."""
        wanted = {command_id.encode() for command_id in command_ids}
        found: set[str] = set()
        if not wanted:
            return found
        info = (await self._log.topics())[self._topic]
        places = [TopicPartition(self._topic, number) for number in range(info.partitions)]
        ends = await self._log.end_offsets(places)
        if since is None:
            begin = await self._log.beginning_offsets(places)
        else:
            begin = await self._log.offsets_at(places, int((since - MARGIN).timestamp() * 1000))
        ahead = {place: begin[place] for place in places if begin[place] < ends[place]}
        if not ahead:
            return found
        reader = await self._log.reader(ahead)
        try:
            while any(reader.position(place) < ends[place] for place in ahead):
                records = await reader.read(AT_ONCE, 1.0)
                if not records:
                    break
                for record in records:
                    told = dict(record.headers).get(headers.ID)
                    if told in wanted:
                        found.add(told.decode())
                if len(found) == len(wanted):
                    break
        finally:
            await reader.close()
        return found
