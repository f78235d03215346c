"""The settings of a PostgreSQL session that decide which text a value has. Pure.

The bridge reads under fixed settings, so that a value always has the same form. A
command's statement, and the triggers that it fires, run under those that the login has: a legacy
program's `now()` and its dates of text mean what they mean everywhere else in that database.
"""

from __future__ import annotations

READ_SETTINGS = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # As money's binary form is understood: two digits after the point.
    "lc_monetary": "C",
}

SET_FOR_SESSION = tuple(f"SET {name} = '{value}'" for name, value in READ_SETTINGS.items())
"""Statements, one a setting: they hold until the session ends."""

SET_FOR_READS = ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in READ_SETTINGS.items()
)
"""To be selected: they hold until the transaction ends, or others are set."""
SET_LOGINS_OWN = ", ".join(f"set_config('{name}', NULL, true)" for name in READ_SETTINGS)
"""The same, to what they would be if the bridge had set none."""

NO_ENCODING = "SQL_ASCII"
"""The server's encoding that is none: text is bytes that nobody has checked."""
SET_NO_ENCODING = f"SET LOCAL client_encoding = '{NO_ENCODING}'"
"""Text comes as it is stored; otherwise one byte that isn't UTF-8 ends the whole statement."""
FROM_BYTES = f"convert_from({{}}, '{NO_ENCODING}')"
"""SQL of the text that a binary value is, whatever bytes it has."""
