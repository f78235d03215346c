"""The view of one system: its file's owner, what follows the log, and who looks rows up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from bridge.gateway.freshness.doubts import Doubts
from bridge.gateway.view.contract import (
    KeyedRow,
    NotHeld,
    RowOrNotHeld,
    ViewPhase,
    ViewStatus,
)
from bridge.gateway.view.owner_lock import OwnedElsewhere, OwnerLock, boot_id
from bridge.gateway.view.pending_writes import PendingWrites
from bridge.gateway.view.table_forms import binding, table_forms
from bridge.gateway.view.view_applier import ViewApplier
from bridge.gateway.view.view_file import (
    OpenedFile,
    ViewFileSpec,
    close_view_file,
    open_view_file,
    remove_view_file,
)
from bridge.gateway.view.view_inspection import take_rebuild_request
from bridge.gateway.view.view_lookups import ViewLookups
from bridge.gateway.view.view_parts import ViewParts
from bridge.gateway.view.view_reads import ViewReads
from bridge.gateway.view.view_records import ViewRecords
from bridge.gateway.view.view_session import ViewSession, ViewStopped
from bridge.gateway.view.view_state import DamagedFile
from bridge.gateway.view.view_store import ViewStore
from bridge.gateway.view.view_topics import ViewRebuild
from bridge.model.error_text import error_message
from bridge.model.freshness import NO_POSITION, Freshness
from bridge.model.names import change_topic
from bridge.plan.lazy_record import LazyRow

REQUEST_INTERVAL_S: Final = 2.0
"""Between looks whether a person wants the file built again."""
LONGEST_OFF_S: Final = 3600.0
OFF_S: Final = 30.0
"""Before a view that is off tries again: another owner may have ended, a disk have been emptied."""


class SystemView:
    """Implements `HoldsRows`. `run` keeps the file up until it is cancelled; look-ups may be made by any
    thread.
    """

    def __init__(self, parts: ViewParts) -> None:
        self._parts = parts
        self._forms = table_forms(parts.entities, parts.exact_fields)
        topics = {name: change_topic(parts.bridge, parts.system, name) for name in parts.entities}
        self._spec = ViewFileSpec(
            parts.path,
            self._forms,
            binding(parts.bridge, parts.log.name, topics, parts.entities, self._forms),
            parts.history_ms,
            parts.max_bytes,
        )
        self._phase: ViewPhase = "opening"
        self._reason = ""
        self._rebuild = asyncio.Event()
        self._moved = asyncio.Event()
        self._session: ViewSession | None = None
        self._applier: ViewApplier | None = None
        self._lookups: ViewLookups | None = None
        self._began = 0.0
        self._has_served = False
        self._proved: dict[str, Freshness] = {}

    def claim(self, entity: str) -> Freshness | None:
        """As HoldsRows."""
        session, applier = self._session, self._applier
        if session is None or applier is None or not session.is_serving:
            return None
        published = applier.published
        state = published.entities.get(entity)
        if state is None or state.reasons:
            return None
        claim = Freshness(self._parts.system, published.epoch, published.position)
        return self._with_proof(entity, claim)

    def _with_proof(self, entity: str, claim: Freshness) -> Freshness:
        """With the latest proof about a position that is in."""
        proofs = self._parts.proofs
        proof = None if proofs is None else proofs.entity_claim(entity).claim
        if proof is not None and proof.epoch == claim.epoch and proof.position <= claim.position:
            claim = replace(claim, as_of=proof.as_of)
        last = self._proved.get(entity)
        if last is not None and last.epoch == claim.epoch:
            claim = replace(claim, as_of=max(last.as_of, claim.as_of))
        self._proved[entity] = claim
        return claim

    async def wait(self, entity: str, until: float) -> None:
        """As HoldsRows."""
        proofs = self._parts.proofs
        if proofs is None:
            return
        await proofs.wait(entity, until)
        proof = proofs.entity_claim(entity).claim
        with suppress(TimeoutError):
            async with asyncio.timeout(until - self._parts.monotonic()):
                while proof is not None:
                    claim = self.claim(entity)
                    if claim is None or claim.epoch != proof.epoch:
                        return
                    if claim.position >= proof.position:
                        return
                    await self._moved.wait()

    def get(self, entity: str, key: bytes) -> LazyRow | None:
        """As HoldsRows."""
        lookups, doubtful = self._serving(entity)
        try:
            return lookups.get(entity, key, doubtful)
        except (DamagedFile, sqlite3.Error) as error:
            raise self._damaged(error) from error

    def get_many(self, entity: str, keys: Sequence[bytes]) -> list[RowOrNotHeld]:
        """As HoldsRows."""
        lookups, doubtful = self._serving(entity)
        try:
            return lookups.get_many(entity, keys, doubtful)
        except (DamagedFile, sqlite3.Error) as error:
            raise self._damaged(error) from error

    def has_lookup(self, entity: str, fields: Sequence[str]) -> bool:
        """As HoldsRows."""
        form = self._forms.get(entity)
        return form is not None and tuple(sorted(fields)) in form.indexes

    def equal(
        self, entity: str, fields: Sequence[str], values: Sequence[Sequence[Any]], limit: int
    ) -> list[list[KeyedRow]]:
        """As HoldsRows."""
        lookups, doubtful = self._serving(entity)
        try:
            return lookups.equal(entity, fields, values, limit, doubtful)
        except (DamagedFile, sqlite3.Error) as error:
            raise self._damaged(error) from error

    def shown_position(self) -> str:
        """As HoldsRows."""
        applier = self._applier
        return NO_POSITION if applier is None else applier.shown_position

    def _serving(self, entity: str) -> tuple[ViewLookups, Collection[bytes]]:
        """Where to look, and the rows in doubt. Raises NotHeld."""
        lookups, applier, session = self._lookups, self._applier, self._session
        if lookups is None or applier is None or session is None or not session.is_serving:
            raise NotHeld
        state = applier.published.entities.get(entity)
        if state is None or state.reasons:
            raise NotHeld
        return lookups, state.doubtful

    def _damaged(self, error: Exception) -> NotHeld:
        """The file turned out to be damaged: it isn't read again, but built again."""
        session = self._session
        if session is not None:
            session.is_serving = False
        self._loop.call_soon_threadsafe(self.rebuild, str(error))
        return NotHeld(str(error))

    def status(self) -> ViewStatus:
        """As HoldsRows."""
        session, applier = self._session, self._applier
        phase: ViewPhase = self._phase
        if session is not None:
            phase = "ready" if session.is_serving else "building"
            if not session.is_serving and session.mode != "building":
                phase = "catching up"
        took = self._parts.monotonic() - self._began
        applied = applier.applied if applier else 0
        return ViewStatus(
            phase=phase,
            reason=self._reason,
            share=session.share if session else 0.0,
            rows=applied,
            rate=applied / took if took > 0 else 0.0,
            bytes=_size(self._parts.path),
            entities=tuple(self._parts.entities),
            doubts={
                entity: state.reasons
                for entity, state in (applier.published.entities if applier else {}).items()
                if state.reasons
            },
        )

    async def run(self) -> None:
        """Keep the file up until cancelled. Raises RetryLater if the log is unavailable at the
        beginning, ConfigurationError if it refuses.
        """
        self._loop = asyncio.get_running_loop()
        pause = OFF_S
        while True:
            self._has_served = False
            try:
                await self._own()
            except (OwnedElsewhere, ViewStopped, OSError, sqlite3.Error) as error:
                self._phase, self._reason = "off", error_message(error)
                pause = next_pause(error, pause, has_served=self._has_served)
            await asyncio.sleep(pause)

    async def _own(self) -> None:
        """Own the file, for as long as it can be kept up."""
        if (network := await asyncio.to_thread(self._network)) is not None:
            raise OSError(f"{self._parts.path.parent} is on a network file system ({network})")
        lock = OwnerLock(self._parts.path)
        why = ""
        try:
            while True:
                self._phase = "opening"
                file = await self._open()
                self._reason = why or file.rebuilt
                try:
                    await self._follow(file)
                except (ViewRebuild, DamagedFile, sqlite3.DatabaseError) as error:
                    self._reason = why = str(error)
                    await asyncio.to_thread(remove_view_file, self._parts.path)
                    if isinstance(error, sqlite3.OperationalError):
                        raise  # such as a full disk: not to be tried again at once
        finally:
            lock.close()

    async def _open(self) -> OpenedFile:
        now_ms = int(self._parts.wall() * 1000)
        opening = asyncio.get_running_loop().run_in_executor(
            None, lambda: open_view_file(self._spec, boot=boot_id(), now_ms=now_ms)
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with suppress(OSError, sqlite3.Error):  # nobody needs the file any more
                (await opening).connection.close()
            raise

    async def _follow(self, file: OpenedFile) -> None:
        """Follow the log into an opened file until something ends it; the file is closed."""
        parts, forms = self._parts, self._forms
        store = ViewStore(file.connection, forms)
        reads = ViewReads(parts.path, forms)
        applier: ViewApplier | None = None
        is_usable = True
        try:
            records = ViewRecords(parts.system, forms)
            records.remember(store.schemas())
            self._applier = applier = ViewApplier(
                parts.system,
                store,
                file.state,
                records,
                doubts=Doubts(parts.system, parts.entities),
                pending=PendingWrites(forms, store.held),
                boot=boot_id(),
                report=parts.report_record,
                now_ms=lambda: int(parts.wall() * 1000),
            )
            self._lookups = ViewLookups(reads, records, forms, parts.entity_now)
            self._rebuild.clear()
            self._began = parts.monotonic()
            session = self._session = ViewSession(
                parts, applier, records, is_new=not file.state.complete, published=self._notify
            )
            await self._run_session(session)
        except (ViewRebuild, DamagedFile, sqlite3.DatabaseError):
            is_usable = False
            raise
        finally:
            is_usable = is_usable and applier is not None and applier.state.complete
            self._session = self._lookups = None
            self._notify()
            reads.close()
            await self._finished(partial(self._close, file, is_usable=is_usable))

    async def _run_session(self, session: ViewSession) -> None:
        following = asyncio.ensure_future(session.run())
        rebuild = asyncio.ensure_future(self._wait_for_rebuild())
        try:
            await asyncio.wait({following, rebuild}, return_when=asyncio.FIRST_COMPLETED)
            if rebuild.done():
                rebuild.result()
                raise ViewRebuild(self._reason)
            following.result()
        finally:
            for task in (following, rebuild):
                task.cancel()
            await asyncio.gather(following, rebuild, return_exceptions=True)

    async def _wait_for_rebuild(self) -> None:
        """Until somebody wants it: who reads, or a person."""
        while not self._rebuild.is_set():
            if take_rebuild_request(self._parts.path):
                self.rebuild("a person asked for it")
            with suppress(TimeoutError):
                async with asyncio.timeout(REQUEST_INTERVAL_S):
                    await self._rebuild.wait()

    def rebuild(self, reason: str) -> None:
        """Build the file again from the log. Called on the loop of `run`."""
        self._reason = reason
        self._rebuild.set()

    def _close(self, file: OpenedFile, *, is_usable: bool) -> None:
        """Without its mark, the file is checked when it is next opened. So nothing is lost if it can't be
        closed in order, and who ends the view need not hear of it.
        """
        if not is_usable:
            file.connection.close()
            return
        try:
            close_view_file(self._parts.path, file.connection)
        except (OSError, sqlite3.Error) as error:
            self._reason = f"it was not closed in order: {error_message(error)}"

    def _network(self) -> str | None:
        folder = self._parts.path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return self._parts.network(folder)

    def _notify(self) -> None:
        session = self._session
        self._has_served = self._has_served or (session is not None and session.is_serving)
        self._moved.set()
        self._moved = asyncio.Event()

    async def _finished(self, work: Callable[[], None]) -> None:
        """Blocking work, which is waited for even if the caller is cancelled."""
        future = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise


def next_pause(error: Exception, last: float, *, has_served: bool) -> float:
    """Seconds until a view that ended with this error is tried again. Pure.

    last: the pause before. What doesn't fit on the disk is read in vain each time, so that it is tried
    more and more rarely; a file is free as soon as its owner ends.
    """
    if has_served or isinstance(error, OwnedElsewhere):
        return OFF_S
    return min(2 * last, LONGEST_OFF_S)


def _size(path: Path) -> int:
    try:
        return int(path.stat().st_size)
    except OSError:
        return 0
