"""What is wrong with the file of an embedded log, before it is opened."""

from __future__ import annotations

from pathlib import Path


def log_file_problem(path: Path) -> str:
    """Why it is not the log that processes of this bridge use; empty: nothing is known against it.
    Blocks for some milliseconds.
    """
    from bridge.log.embedded.open_files import left_behind, processes_on_removed_file

    processes = processes_on_removed_file(path)
    if processes:
        what = "was replaced by another file" if path.exists() else "was removed"
        numbers = ", ".join(map(str, processes))
        return (
            f"the embedded log {path} {what} while process {numbers} had it open: nothing more is "
            "written into it. Stop every process of this bridge, bring back a backup of the log, or "
            f"remove what is left of it ({path.name}*) to begin with an empty one"
        )
    remains = left_behind(path)
    return "" if remains is None else str(remains)
