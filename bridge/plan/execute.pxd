# C types of execute.py for its compiled form.

cimport cython as c_

from bridge.plan.native cimport (
    byte, copy, exact_type, larger, lifted, load_i16, load_i32, load_i64, load_u16, load_u32,
    murmur2, numbers, part, pointer, power, put_double, release, slot, space, taken, text_bytes, u64,
    unzigzag, utf8, zigzag,
)

# The numbers of opcodes.py.
cdef enum:
    NULL = -1
    AWAY = -2

cdef enum:
    AS_TEXT, AS_BINARY, AS_OBJECT

cdef enum:
    SLOW, DROP, BOOL, INT, OID, FLOAT4, FLOAT8, TEXT, BYTES, JSONB
    DATE, TIME, MOMENT, UUID, DECIMAL, NUMERIC, MEMO
    PYBOOL = 20
    PYINT, PYFLOAT, PYTEXT, PYBYTES, PYDECIMAL, PYMOMENT, PYLOCAL, PYDATE


cdef class Cells:
    cdef Py_ssize_t count
    cdef int wire
    cdef Py_ssize_t* starts
    cdef Py_ssize_t* sizes
    cdef Py_ssize_t* forms
    cdef bytes data
    cdef object row

    @c_.locals(p=c_.p_const_uchar, size=Py_ssize_t, at=Py_ssize_t, index=Py_ssize_t,
                   kind=int, length=Py_ssize_t)
    cdef int fill(self, object raw) except -1
    @c_.locals(start=Py_ssize_t)
    cdef object content(self, Py_ssize_t index)


@c_.final
cdef class RowEncoder:
    cdef readonly object plan
    cdef readonly unsigned int partitions
    cdef readonly Py_ssize_t max_record_bytes
    cdef bytes key_header, value_header
    cdef Py_ssize_t count, key_count
    cdef Py_ssize_t* quick
    cdef Py_ssize_t* first
    cdef Py_ssize_t* is_key
    cdef Py_ssize_t* trims
    cdef Py_ssize_t* zeros
    cdef Py_ssize_t* digits
    cdef Py_ssize_t* scales
    cdef Py_ssize_t* keys_at
    cdef Py_ssize_t* same
    cdef list converts, encodes, key_encodes, columns, memos, names, types
    cdef object specversion, source, content_type, id_name
    cdef bytes id_prefix
    cdef Py_ssize_t headers_size
    cdef Py_ssize_t size, at
    cdef byte* buffer
    cdef Cells new_row, old_row
    cdef list away
    cdef u64 epoch, commit
    cdef object captured_at, timestamp
    cdef object transaction, time_header, causation, causation_header
    cdef bytes tail

    cdef int _change(self, object change, u64 number, list out) except -1
    cdef int _deleted(self, bytes key, bint whole, u64 number, list out) except -1
    @c_.locals(text=bytes)
    cdef int _set_transaction(self, object transaction, object causation) except -1
    @c_.locals(seconds=c_.longlong, days=c_.longlong, rest=c_.longlong, era=c_.longlong,
               year=c_.longlong, month=c_.longlong, day=c_.longlong)
    cdef bytes _instant(self, long long micros)
    @c_.locals(at=Py_ssize_t)
    cdef int _decimal(self, long long value, int width, int behind) except -1
    @c_.locals(start=Py_ssize_t, end=Py_ssize_t, index=Py_ssize_t, size=Py_ssize_t,
                   event_id=bytes, value=bytes, heads=list)
    cdef int _entry(self, bytes key, int op, bint before, bint after, Cells other, bint whole,
                    u64 number, list out) except -1
    @c_.locals(state=Py_ssize_t, here=Py_ssize_t, columns=tuple, column=Py_ssize_t)
    cdef Py_ssize_t _state(self, Py_ssize_t index, Cells cells) except? -3
    @c_.locals(index=Py_ssize_t, key=Py_ssize_t, state=Py_ssize_t, use=Cells)
    cdef int _row(self, Cells cells, Cells other, bint whole) except -1
    @c_.locals(position=Py_ssize_t, index=Py_ssize_t, state=Py_ssize_t, use=Cells)
    cdef bytes _key(self, Cells cells, Cells other)
    cdef int _no_key(self, Py_ssize_t index, Py_ssize_t state) except -1
    cdef list _contents(self, Py_ssize_t index, Cells cells)
    cdef int _slowly(self, Py_ssize_t index, Cells cells) except -1
    cdef int _encoded(self, Py_ssize_t index, object data) except -1
    @c_.locals(kind=int)
    cdef object _memo_name(self, list contents)
    @c_.locals(columns=tuple, column=Py_ssize_t, memo=dict)
    cdef int _remembered(self, Py_ssize_t index, Cells cells) except -1
    @c_.locals(way=Py_ssize_t, column=Py_ssize_t, start=Py_ssize_t, size=Py_ssize_t,
                   p=c_.p_const_uchar, micros=c_.longlong)
    cdef int _quickly(self, Py_ssize_t index, Cells cells) except -1
    @c_.locals(wanted=int, index=int, days=int, micros=c_.longlong)
    cdef int _quick_other(self, Py_ssize_t way, Cells cells, const byte* p, Py_ssize_t start,
                          Py_ssize_t size) except -1
    @c_.locals(end=Py_ssize_t, width=Py_ssize_t, at=Py_ssize_t)
    cdef int _quick_text(self, Py_ssize_t index, Cells cells, const byte* p, Py_ssize_t start,
                         Py_ssize_t size) except -1
    @c_.locals(kind=int)
    cdef int _quick_object(self, Py_ssize_t index, Py_ssize_t way, object value) except -1
    @c_.locals(days=c_.longlong, hour=int, minute=int, second=int, micros=int, seconds=c_.longlong)
    cdef int _quick_moment(self, Py_ssize_t way, object value) except -1
    @c_.locals(p=c_.p_const_uchar, size=Py_ssize_t, at=Py_ssize_t, minus=int, limit=u64, total=u64,
               seen=int, behind=Py_ssize_t, sign=int)
    cdef int _decimal_text(self, bytes data, Py_ssize_t scale, Py_ssize_t digits) except -1
    @c_.locals(length=int, index=int)
    cdef int _unscaled(self, long long signed) except -1
    @c_.locals(count=Py_ssize_t, sign=int, exponent=Py_ssize_t, limit=u64, total=u64,
                   index=Py_ssize_t, digit=u64, unit=u64)
    cdef int _quick_decimal(self, const byte* p, Py_ssize_t start, Py_ssize_t size,
                            Py_ssize_t scale, Py_ssize_t digits) except -1
    @c_.locals(count=Py_ssize_t, weight=int, sign=int, scale=int, begin=Py_ssize_t,
                   at=Py_ssize_t, whole=Py_ssize_t, places=int, fractions=int, index=Py_ssize_t,
                   digit=int, unit=int, sign_of=int, length=Py_ssize_t)
    cdef int _quick_numeric(self, const byte* p, Py_ssize_t start, Py_ssize_t size) except -1
    @c_.locals(at=Py_ssize_t, index=int, high=int, low=int)
    cdef int _quick_uuid(self, const byte* p, Py_ssize_t start) except -1
    cdef int _room(self, Py_ssize_t size) except -1
    cdef int _byte(self, byte value) except -1
    @c_.locals(size=Py_ssize_t)
    cdef int _bytes(self, bytes data) except -1
    cdef int _span(self, bytes data, Py_ssize_t start, Py_ssize_t size) except -1
    @c_.locals(rest=u64, at=Py_ssize_t)
    cdef int _long(self, long long value) except -1
    cdef int _double(self, double value) except -1
    @c_.locals(at=Py_ssize_t)
    cdef int _position(self, u64 number) except -1
    @c_.locals(index=int, nibble=int)
    cdef int _hexadecimal(self, Py_ssize_t at, u64 value, int width) except -1


@c_.locals(p=c_.p_const_uchar, size=Py_ssize_t, op=c_.longlong, count=c_.longlong)
cpdef tuple scan_change(bytes data, Py_ssize_t at, bytes codes)
@c_.locals(length=c_.longlong)
cdef Py_ssize_t text_end(const byte* p, Py_ssize_t at, Py_ssize_t size) except -1
@c_.locals(p=c_.p_const_uchar, c=c_.p_const_uchar, size=Py_ssize_t, count=Py_ssize_t,
               index=Py_ssize_t, code=int, branch=c_.longlong)
cpdef Py_ssize_t scan(bytes data, Py_ssize_t at, bytes codes, list offsets) except -1
@c_.locals(c=c_.p_const_uchar, code=int, length=c_.longlong)
cdef Py_ssize_t skip(const byte* p, Py_ssize_t at, Py_ssize_t size, bytes codes,
                     Py_ssize_t index) except -1
@c_.locals(c=c_.p_const_uchar, items=c_.longlong, length=c_.longlong,
               branch=c_.longlong, _=c_.longlong)
cdef Py_ssize_t _skip_array(const byte* p, Py_ssize_t at, Py_ssize_t size, bytes codes,
                            Py_ssize_t index) except -1
@c_.locals(rest=u64, shift=int, byte_=byte)
cdef long long long_at(const byte* p, Py_ssize_t at, Py_ssize_t size) except? -1
cdef Py_ssize_t long_end(const byte* p, Py_ssize_t at, Py_ssize_t size) except -1
cpdef long long read_long(bytes data, Py_ssize_t at) except? -1
@c_.locals(p=c_.p_const_uchar, size=Py_ssize_t, length=c_.longlong, start=Py_ssize_t)
cpdef bytes read_bytes(bytes data, Py_ssize_t at)
cpdef Py_ssize_t read_end(bytes data, Py_ssize_t at, bytes codes) except -1
cpdef Py_ssize_t partition(bytes key, Py_ssize_t partitions) except -1
