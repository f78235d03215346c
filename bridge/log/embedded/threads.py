"""The two threads that talk to SQLite, so that the event loop never waits for the disk.

All writes of a process go through one connection in one thread. Writes that wait at the same time
share one transaction, each job with its own savepoint: with `synchronous=FULL` the flush at its end
is expensive, and many small writes share it.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from bridge.log.embedded.errors import named
from bridge.log.embedded.open_files import OpenFiles
from bridge.log.embedded.schema import connect
from bridge.model.errors import ConfigurationError

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

_MAX_JOBS_PER_TRANSACTION = 64
"""Maximum number of waiting writes that share a transaction."""


class ReaderThread:
    """Runs reads, one after another, on a connection of their own."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._refusing = False
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=type(self).__name__, daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """The job's result. Cancelling the call before its job began prevents the job."""
        if self._refusing:
            raise RuntimeError(f"the embedded log {self._path} is closed")
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return await asyncio.wrap_future(future)

    def refuse(self) -> None:
        """Accept no more jobs, and end after the queued ones."""
        self._refusing = True
        self._jobs.put(None)

    def join(self) -> None:
        """Block until it has ended."""
        self._thread.join()

    def _work(self) -> None:
        try:
            files = OpenFiles(self._path)
            connection = self._connect()
        except sqlite3.Error as error:
            self._answer_all(named(error, self._path))
            return
        try:
            self._serve(connection, files)
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path, self._patience)

    def _answer_all(self, reason: Exception) -> None:
        """Without a connection every job fails, so that no caller waits for ever."""
        while (next_one := self._jobs.get()) is not None:
            if next_one[1].set_running_or_notify_cancel():
                next_one[1].set_exception(reason)

    def _serve(self, connection: sqlite3.Connection, files: OpenFiles) -> None:
        while (next_one := self._jobs.get()) is not None:
            job, future = next_one
            if not future.set_running_or_notify_cancel():
                continue
            try:
                files.check()
                future.set_result(job(connection))
            except sqlite3.Error as error:
                future.set_exception(named(error, self._path))
            except Exception as error:  # noqa: BLE001 - it belongs to who asked
                future.set_exception(error)


class WriterThread(ReaderThread):
    """Runs writes, those that wait together in one transaction; calls `written` after each."""

    def __init__(self, path: Path, patience: float, written: Callable[[], None]) -> None:
        super().__init__(path, patience)
        self._written = written

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        # A checkpoint every 16 MB: rare enough to cost little, small enough to recover fast.
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    def _serve(self, connection: sqlite3.Connection, files: OpenFiles) -> None:
        ended = False
        while not ended:
            jobs, ended = self._waiting()
            if jobs:
                self._write(connection, files, jobs)

    def _waiting(self) -> tuple[list[tuple[Job, Future[Any]]], bool]:
        jobs: list[tuple[Job, Future[Any]]] = []
        next_one = self._jobs.get()
        while next_one is not None:
            if next_one[1].set_running_or_notify_cancel():
                jobs.append(next_one)
            if len(jobs) == _MAX_JOBS_PER_TRANSACTION:
                break
            try:
                next_one = self._jobs.get_nowait()
            except queue.Empty:
                break
        return jobs, next_one is None

    def _write(
        self,
        connection: sqlite3.Connection,
        files: OpenFiles,
        jobs: list[tuple[Job, Future[Any]]],
    ) -> None:
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], Exception]] = []
        committing = False
        try:
            files.check()
            connection.execute("BEGIN IMMEDIATE")
            for job, future in jobs:
                connection.execute("SAVEPOINT job")
                try:
                    done.append((future, job(connection)))
                except sqlite3.Error as error:
                    if not connection.in_transaction:
                        raise  # SQLite has rolled back everything, the other jobs too.
                    connection.execute("ROLLBACK TO job")
                    failed.append((future, named(error, self._path)))
                except Exception as error:  # noqa: BLE001 - it belongs to who asked
                    connection.execute("ROLLBACK TO job")
                    failed.append((future, error))
                connection.execute("RELEASE job")
            committing = True
            connection.execute("COMMIT")
            files.add_companions()
            # A process that ended meanwhile checkpointed what was committed.
            files.check()
        except ConfigurationError as error:
            failed = [(future, error) for _, future in jobs]
            done = []
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failed_futures = {future for future, _ in failed}
            failed += [
                (future, named(error, self._path, committing=committing))
                for _, future in jobs
                if future not in failed_futures
            ]
            done = []
        for future, result in done:
            future.set_result(result)
        for future, reason in failed:
            future.set_exception(reason)
        if done:
            self._written()
