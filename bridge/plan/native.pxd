# What bridge/plan/native.py has in Python, in C: bytes in and out of buffers.
# No bounds are checked here; callers do.

from cpython.bool cimport PyBool_Check
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.unicode cimport PyUnicode_CheckExact
from libc.string cimport memcpy

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

ctypedef unsigned char byte
ctypedef unsigned long long u64

cdef inline const byte* pointer(bytes data) noexcept:
    return <const byte*>PyBytes_AS_STRING(data)

cdef inline Py_ssize_t* numbers(Py_ssize_t count) except NULL:
    cdef Py_ssize_t* made = <Py_ssize_t*>PyMem_Calloc(count if count else 1, sizeof(Py_ssize_t))
    if made is NULL:
        raise MemoryError
    return made

cdef inline byte* space(Py_ssize_t size) except NULL:
    cdef byte* made = <byte*>PyMem_Calloc(size, 1)
    if made is NULL:
        raise MemoryError
    return made

cdef inline byte* larger(byte* buffer, Py_ssize_t size) except NULL:
    cdef byte* made = <byte*>PyMem_Realloc(buffer, size)
    if made is NULL:
        raise MemoryError
    return made

cdef inline void release(void* memory) noexcept:
    PyMem_Free(memory)

cdef inline bytes taken(const byte* buffer, Py_ssize_t start, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char*>buffer + start, size)

cdef inline bytes part(bytes data, Py_ssize_t start, Py_ssize_t end):
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)

cdef inline void copy(
    byte* buffer, Py_ssize_t at, bytes data, Py_ssize_t start, Py_ssize_t size
) noexcept:
    memcpy(buffer + at, PyBytes_AS_STRING(data) + start, size)

cdef extern from "Python.h":
    PyObject* PyType_GenericAlloc(type kind, Py_ssize_t size) except NULL
    void PyTuple_SET_ITEM(PyObject* row, Py_ssize_t index, PyObject* item)
    bytes PyBytes_FromObject(object content)

cdef inline object as_class(object kind, tuple slots):
    # What tuple.__new__ does, without its second tuple.
    cdef Py_ssize_t index, size = len(slots)
    cdef PyObject* made = PyType_GenericAlloc(<type>kind, size)
    cdef object item
    for index in range(size):
        item = <object>PyTuple_GET_ITEM(slots, index)
        Py_INCREF(item)
        PyTuple_SET_ITEM(made, index, <PyObject*>item)
    item = <object>made
    Py_DECREF(item)
    return item

cdef inline bytes bytes_of(object content):
    return PyBytes_FromObject(content)

cdef inline object slot(object row, Py_ssize_t index):
    # Tuples only, also those of subclasses.
    return <object>PyTuple_GET_ITEM(row, index)

cdef inline unsigned int load_u16(const byte* p, Py_ssize_t at) noexcept:
    return (<unsigned int>p[at] << 8) | p[at + 1]

cdef inline int load_i16(const byte* p, Py_ssize_t at) noexcept:
    return <short>((<unsigned int>p[at] << 8) | p[at + 1])

cdef inline unsigned int load_u32(const byte* p, Py_ssize_t at) noexcept:
    return (
        (<unsigned int>p[at] << 24) | (<unsigned int>p[at + 1] << 16)
        | (<unsigned int>p[at + 2] << 8) | p[at + 3]
    )

cdef inline int load_i32(const byte* p, Py_ssize_t at) noexcept:
    return <int>load_u32(p, at)

cdef inline u64 load_u64(const byte* p, Py_ssize_t at) noexcept:
    return (<u64>load_u32(p, at) << 32) | load_u32(p, at + 4)

cdef inline long long load_i64(const byte* p, Py_ssize_t at) noexcept:
    return <long long>load_u64(p, at)

cdef inline void put_double(byte* buffer, Py_ssize_t at, double value) noexcept:
    cdef u64 bits
    cdef int index
    memcpy(&bits, &value, 8)
    for index in range(8):
        buffer[at + index] = <byte>(bits >> (8 * index))

cdef inline u64 zigzag(long long value) noexcept:
    return (<u64>value << 1) ^ <u64>(value >> 63)

cdef inline u64 lifted(u64 bits, int shift) noexcept:
    return bits << shift

cdef inline long long unzigzag(u64 rest) noexcept:
    return <long long>((rest >> 1) ^ (0 - (rest & 1)))

cdef inline u64 power(int exponent) noexcept:
    cdef u64 found = 1
    while exponent > 0:
        found *= 10
        exponent -= 1
    return found

cdef inline bint utf8(const byte* p, Py_ssize_t start, Py_ssize_t size) noexcept:
    # Table 3-7 of the Unicode standard: well-formed byte sequences.
    cdef Py_ssize_t at = start, end = start + size
    cdef byte first, second, low, high
    cdef int more
    cdef u64 eight
    while at < end:
        if p[at] < 0x80:
            if end - at >= 8:
                memcpy(&eight, p + at, 8)
                if not eight & <u64>0x8080808080808080:
                    at += 8
                    continue
            at += 1
            continue
        first = p[at]
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            if first == 0xE0:
                low = 0xA0
            elif first == 0xED:
                high = 0x9F
        elif 0xF0 <= first <= 0xF4:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F
        else:
            return False
        if end - at <= more:
            return False
        second = p[at + 1]
        if second < low or second > high:
            return False
        at += 2
        while more > 1:
            if p[at] & 0xC0 != 0x80:
                return False
            at += 1
            more -= 1
    return True

cdef inline unsigned int murmur2(bytes data) noexcept:
    cdef const byte* p = pointer(data)
    cdef unsigned int size = <unsigned int>len(data), mix = 0x5BD1E995U
    cdef unsigned int word, hashed = 0x9747B28CU ^ size
    cdef unsigned int at = 0
    while size - at >= 4:
        word = (
            p[at] | (<unsigned int>p[at + 1] << 8)
            | (<unsigned int>p[at + 2] << 16) | (<unsigned int>p[at + 3] << 24)
        )
        word *= mix
        word = (word ^ (word >> 24)) * mix
        hashed = (hashed * mix) ^ word
        at += 4
    if at < size:
        word = p[at]
        if size - at >= 2:
            word |= <unsigned int>p[at + 1] << 8
        if size - at == 3:
            word |= <unsigned int>p[at + 2] << 16
        hashed = (hashed ^ word) * mix
    hashed = (hashed ^ (hashed >> 13)) * mix
    return (hashed ^ (hashed >> 15)) & 0x7FFFFFFFU

cdef inline int exact_type(object value) except -1:
    cdef int overflow = 0
    if PyLong_CheckExact(value):
        PyLong_AsLongLongAndOverflow(value, &overflow)
        return 0 if overflow else 2
    if PyUnicode_CheckExact(value):
        return 4
    if PyFloat_CheckExact(value):
        return 3
    if PyBool_Check(value):
        return 1
    return 5 if PyBytes_CheckExact(value) else 0

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object value, Py_ssize_t *size)
    void PyErr_Clear()

cdef inline object text_bytes(object value):
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(value, &size)
    if text is NULL:
        PyErr_Clear()
        return None
    return PyBytes_FromStringAndSize(text, size)
