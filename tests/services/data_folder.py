"""Where a server of the tests keeps its data."""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it is the test's own
MIN_FREE_BYTES = 8 * 2**30


def new_data_folder(server: str) -> Path:
    """An empty folder: in memory where the machine has plenty, because making a database writes
    hundreds of files, which a disk's file system takes longer for than the database does.
    """
    fast = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MIN_FREE_BYTES
    prefix = f"bridge-{server}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if fast else None))
