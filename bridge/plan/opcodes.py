"""The numbers by which a row encoder knows how a column came and how its field is made.

The compiled form has the same numbers as C enums in `execute.pxd`.
"""

#: In place of the size of a column's content: the column is null, or was not sent.
NULL, AWAY = -1, -2

#: The form of a column's content: text, the wire's binary form, a Python object.
AS_TEXT, AS_BINARY, AS_OBJECT = range(3)

# The fast path by which a field is made; SLOW is the general way of `convert.py`.
SLOW, DROP, BOOL, INT, OID, FLOAT4, FLOAT8, TEXT, BYTES, JSONB = range(10)
DATE, TIME, MOMENT, UUID, DECIMAL, NUMERIC, MEMO = range(10, 17)
PYBOOL, PYINT, PYFLOAT, PYTEXT, PYBYTES, PYDECIMAL, PYMOMENT, PYLOCAL, PYDATE = range(20, 29)
