"""Renamed keys of the files, in one table. An old key is an error that names the new one: nothing
is read under two names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from bridge.config.document import KeyPath


class RenamedKey(NamedTuple):
    """One row of the table.

    old: the old path in the file; `*` matches any one key.
    new: its new name, at the same level.
    section: the section that it moved to; "" if it was only renamed.
    """

    old: tuple[str, ...]
    new: str
    section: str = ""


RENAMED_KEYS: Final = (
    RenamedKey(("capture", "sets", "*", "means"), "change_detection"),
    RenamedKey(("capture", "settle"), "in_doubt_timeout"),
    RenamedKey(("capture", "listing"), "max_listed_rows"),
    RenamedKey(("capture", "batch"), "max_batch_requests"),
    RenamedKey(("capture", "read_keys"), "max_keys_per_read"),
    RenamedKey(("capture", "url_length"), "max_url_length"),
    RenamedKey(("capture", "overlap_every"), "overlap_interval"),
    RenamedKey(("capture", "forget_rows"), "purge_batch_rows"),
    RenamedKey(("capture", "forget_ms"), "purge_after_ms"),
    RenamedKey(("login", "ca"), "ca", "`tls:` beside `login:`"),
    RenamedKey(("login", "certificate"), "certificate", "`tls:` beside `login:`"),
    RenamedKey(("login", "key"), "key", "`tls:` beside `login:`"),
    RenamedKey(("login", "key_password"), "key_password", "`tls:` beside `login:`"),
    RenamedKey(("log", "kafka", "registry", "ca"), "ca", "`tls:` under `registry:`"),
)


def renamed_key(path: KeyPath, is_key: Callable[[KeyPath], bool]) -> str | None:
    """The replacement of the unknown key at `path`, as a hint; None if it was never a key. Pure.

    `is_key` says whether the file's model has a key: connectors share option names, and only the one
    that knows the new name has renamed the old one.
    """
    for row in RENAMED_KEYS:
        if len(row.old) != len(path) or not all(
            pattern in {"*", part} for pattern, part in zip(row.old, path, strict=True)
        ):
            continue
        if row.section:
            return f"it is now {row.new!r} of {row.section}"
        if is_key((*path[:-1], row.new)):
            return f"it is now called {row.new!r}"
    return None
