"""Chooses how the changes of an entity set are detected: the best method that the service offers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from bridge.connector import TableUse
from bridge.model.errors import ConfigurationError, Rejected
from connectors.odata.capture.options import DetectionMethod, ODataOptions
from connectors.odata.capture.pollers.changed import ChangedPoller
from connectors.odata.capture.pollers.delta import DeltaPoller
from connectors.odata.capture.pollers.listing import ListingPoller
from connectors.odata.capture.pollers.poller import Poller
from connectors.odata.metadata.field_types import TIMESTAMP_TYPES
from connectors.odata.metadata.model import EntitySet, ODataService
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, build_table, entity_set_of
from connectors.odata.protocol.query import query_options
from connectors.odata.protocol.response import page_of


@dataclass(frozen=True, slots=True)
class ChangeDetection:
    """The method for one entity set, and the properties that it uses."""

    method: DetectionMethod
    table: EntitySetTable
    changed: str = ""
    created: str | None = None

    def phrase(self, options: ODataOptions) -> str:
        """For people."""
        every = duration_text(options.poll)
        if self.method == "delta":
            return f"delta links, every {every}"
        if self.method == "changed":
            return (
                f"{self.changed} with {duration_text(options.overlap)} overlap, every {every}; deletions "
                f"by comparing keys with the log every {duration_text(options.reconcile)}"
            )
        return (
            f"comparing all rows, every {every} (over {options.max_listed_rows} rows with the log, every "
            f"{duration_text(options.reconcile)})"
        )

    def poller(
        self, reader: PageReader, options: ODataOptions, monotonic: Callable[[], float]
    ) -> Poller:
        """The poller that detects the changes."""
        if self.method == "delta":
            return DeltaPoller(reader, self.table, options.page)
        if self.method == "changed":
            return ChangedPoller(
                reader,
                self.table,
                self.changed,
                self.created,
                page=options.page,
                overlap=options.overlap,
                monotonic=monotonic,
            )
        return ListingPoller(reader, self.table, page=options.page, limit=options.max_listed_rows)


async def choose_change_detection(
    reader: PageReader,
    service: ODataService,
    use: TableUse,
    options: ODataOptions,
    *,
    except_methods: Collection[DetectionMethod] = (),
) -> ChangeDetection:
    """The method for a table; `except_methods` were tried without success.

    If the metadata doesn't announce change tracking, the service is asked: not all services that support
    it announce it. Raises ConfigurationError for options that don't fit.
    """
    entity_set, set_options = entity_set_of(service, use.table), options.of(use.table)
    changed = set_options.changed or entity_set.changed or ""
    created = set_options.created or entity_set.created
    for name, what in ((changed, "changed"), (created, "created")):
        if name and (
            name not in entity_set.properties
            or entity_set.properties[name].edm not in TIMESTAMP_TYPES
        ):
            raise ConfigurationError(
                f"entity set {entity_set.name!r}: `{what}: {name}` under capture.sets is no property of "
                "type Edm.DateTimeOffset or Edm.DateTime"
            )
    method = set_options.change_detection
    if (
        method is None
        and "delta" not in except_methods
        and await has_change_tracking(reader, service, entity_set, use)
    ):
        method = "delta"
    if method is None:
        asks_by_time = changed and entity_set.can_page_by(changed)
        method = "changed" if asks_by_time and "changed" not in except_methods else "listing"
    if method != "changed":
        return ChangeDetection(method, build_table(service, use))
    if not changed:
        raise ConfigurationError(
            f"entity set {entity_set.name!r}: `change_detection: changed` needs `changed:`, the property that every "
            "change raises"
        )
    return ChangeDetection(method, build_table(service, use, changed, created), changed, created)


async def has_change_tracking(
    reader: PageReader, service: ODataService, entity_set: EntitySet, use: TableUse
) -> bool:
    """Whether the service tracks changes of an entity set: announced, or granted when asked."""
    if entity_set.delta:
        return True
    if service.version == "v2":
        return False
    params = query_options(build_table(service, use), top=1)
    try:
        answer = await reader.get(entity_set.name, params, prefer="odata.track-changes")
    except Rejected:
        return False
    applied = answer.headers.get("preference-applied", "")
    page = page_of(answer.body)
    return "track-changes" in applied or bool(page and page.delta_link)


def duration_text(number: float) -> str:
    """`30 s`, `10 min`."""
    whole = int(number)
    if whole == number and whole >= 60 and whole % 60 == 0:
        return f"{whole // 60} min"
    return f"{number:g} s"
