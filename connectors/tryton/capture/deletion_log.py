"""Deletions as the ERP's own log tells them: of which model, but not of which rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.model.errors import ConfigurationError, Rejected
from connectors.tryton.capture.checkpoint import ModelState
from connectors.tryton.capture.poll import DELETION_LOG_MODEL, Poll
from connectors.tryton.capture.recent_changes import RecentChanges
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import NoSession
from connectors.tryton.metadata.model import ID

MAX_ATTRIBUTED_ENTRIES = 1000
"""Entries at once, of which nobody asks what each one tells."""


class DeletionLog:
    """Reads the log where this user may, and says of which models the ids are to be listed."""

    def __init__(
        self, client: TrytonClient, look: Poll, overlap: int, saved: ModelState | None
    ) -> None:
        self._client = client
        self._look = look
        self._overlap = overlap
        self._recent = None if saved is None else saved.recent
        self.trouble = ""

    @property
    def saved(self) -> ModelState | None:
        """For the checkpoint."""
        return ModelState(self._recent) if self._recent else None

    async def begin(self) -> None:
        """From now on, where the checkpoint has nothing of it."""
        try:
            newest = await self._look.newest(DELETION_LOG_MODEL, ["event", "=", "delete"])
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            self.trouble = str(error)
            return
        if self._recent is None:
            self._recent = RecentChanges(newest)

    async def look(
        self, watched: Mapping[str, Iterable[str]], window: int, *, whole: bool
    ) -> set[str]:
        """The models, out of the values of `watched`, of which rows may have been deleted: one
        entry there is told of their key, a model whose rows take theirs along.
        """
        if self._recent is None or (self.trouble and not whole):
            return set()
        recent, every = self._recent, sorted(watched)
        try:
            rows, at_once = await self._look.window(
                DELETION_LOG_MODEL, recent.begin(window), *deletions_of(every)
            )
            entries = recent.news(rows)
            upto = recent.saw(rows, at_once=at_once)
            if len(rows) > self._look.most:
                recent.leap(max(row.at for row in rows))
                return {name for names in watched.values() for name in names}
            told = [one.id for one in entries]
            found = {
                name
                for model in (every if entries else [])
                if len(told) > MAX_ATTRIBUTED_ENTRIES or await self._tells(told, model)
                for name in watched[model]
            }
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            self.trouble = str(error)
            return set()
        self.trouble = ""
        for one in entries:
            recent.tell(one)
            if whole:
                recent.reach(min(one.at, upto))
        recent.prune(self._overlap)
        return found

    async def _tells(self, entries: list[int], model: str) -> bool:
        """Whether one of these entries tells a deletion from the model. The references themselves
        are not shown once their rows are gone, but can be searched.
        """
        domain = [[ID, "in", entries], *deletions_of([model])]
        return bool(await self._client.search_read(DELETION_LOG_MODEL, domain, [ID], limit=1))


def deletions_of(models: Iterable[str]) -> list[Any]:
    """The domain of deletions in the ERP's log."""
    either = [["resource", "like", f"{model},%"] for model in models]
    return [["event", "=", "delete"], either[0] if len(either) == 1 else ["OR", *either]]
