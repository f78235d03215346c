"""Deletions in the ERP's own log, which has their models, but not which rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bridge.model.errors import ConfigurationError, Rejected
from connectors.tryton.capture.checkpoint import ModelState
from connectors.tryton.capture.poll import DELETION_LOG_MODEL, PollQueries
from connectors.tryton.capture.recent_changes import RecentChanges
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import NoSession
from connectors.tryton.metadata.model import ID

MAX_ATTRIBUTED_ENTRIES: Final = 1000
"""Entries of one poll that are attributed to their models; of more, any model may have lost rows."""


class DeletionLog:
    """Reads the log if this user may, and says of which models the ids have to be listed.

    `trouble` says why it can't be read for now.
    """

    def __init__(
        self, client: TrytonClient, queries: PollQueries, overlap: int, state: ModelState | None
    ) -> None:
        self._client = client
        self._queries = queries
        self._overlap = overlap
        self._recent = None if state is None else state.recent
        self.trouble = ""

    @property
    def state(self) -> ModelState | None:
        """For the checkpoint."""
        return ModelState(self._recent) if self._recent else None

    async def start(self) -> None:
        """Begin now, if the checkpoint has no state of the log."""
        try:
            newest = await self._queries.newest_time(DELETION_LOG_MODEL, ["event", "=", "delete"])
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            self.trouble = str(error)
            return
        if self._recent is None:
            self._recent = RecentChanges(newest)

    async def models_with_deletions(
        self, dependents: Mapping[str, Iterable[str]], window: int, *, complete: bool
    ) -> set[str]:
        """The captured models of which rows may have been deleted since the last poll.

        `dependents` has, by model of the log, the captured models that lose rows when one of its rows is
        deleted: the model itself, and those whose rows are deleted with it.
        """
        if self._recent is None or (self.trouble and not complete):
            return set()
        recent, logged = self._recent, sorted(dependents)
        try:
            rows, at_once = await self._queries.window(
                DELETION_LOG_MODEL, recent.window_start(window), *deletions_of(logged)
            )
            entries = recent.changed(rows)
            complete_until = recent.see(rows, at_once=at_once)
            if len(rows) > self._queries.max_window_rows:
                recent.skip_to(max(row.at for row in rows))
                return {name for names in dependents.values() for name in names}
            entry_ids = [entry.id for entry in entries]
            models = {
                name
                for model in (logged if entries else [])
                if len(entry_ids) > MAX_ATTRIBUTED_ENTRIES or await self._names(entry_ids, model)
                for name in dependents[model]
            }
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            self.trouble = str(error)
            return set()
        self.trouble = ""
        for entry in entries:
            recent.mark_emitted(entry)
            if complete:
                recent.advance(min(entry.at, complete_until))
        recent.prune(self._overlap)
        return models

    async def _names(self, entry_ids: list[int], model: str) -> bool:
        """Whether one of these entries is about a row of the model. The references themselves are not
        shown once their rows are gone, but can be searched.
        """
        domain = [[ID, "in", entry_ids], *deletions_of([model])]
        return bool(await self._client.search_read(DELETION_LOG_MODEL, domain, [ID], limit=1))


def deletions_of(models: Iterable[str]) -> list[Any]:
    """The domain of these models' deletions in the ERP's log."""
    either = [["resource", "like", f"{model},%"] for model in models]
    return [["event", "=", "delete"], either[0] if len(either) == 1 else ["OR", *either]]
