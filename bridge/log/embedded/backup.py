"""A copy of the embedded log's file, while it is in use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from bridge.model.errors import ConfigurationError


def copy_file(log: Path, file: Path) -> int:
    """Copy within one read transaction, which blocks no writer; returns the size. An incomplete
    copy is removed. Raises ConfigurationError.
    """
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise ConfigurationError(f"{file} already exists: name another file") from None
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror}") from None
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{log.absolute().as_uri()}?mode=ro", uri=True)
            ) as source,
            contextlib.closing(sqlite3.connect(file)) as target,
        ):
            # In one step: a copy in several steps starts over whenever the bridge writes in
            # between.
            source.backup(target, pages=-1)
    except sqlite3.Error as error:
        file.unlink(missing_ok=True)
        raise ConfigurationError(f"{log} can't be copied to {file}: {error}") from None
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file.stat().st_size
