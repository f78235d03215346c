# C types of pack.py for its compiled form.

cimport cython as c_

from bridge.plan.native cimport byte, bytes_of, copy, larger, murmur2, release, slot, space, taken, u64, zigzag

cdef Py_ssize_t record_limit, batch_limit
cdef dict _NAMES


@c_.final
cdef class Pack:
    cdef readonly Py_ssize_t partition
    cdef Py_ssize_t count, size, at
    cdef long long first, newest
    cdef byte* buffer

    @c_.locals(delta=u64, number=u64, framed=u64, length=Py_ssize_t, pair=tuple)
    cdef int add(self, object key, object value, list heads, long long timestamp,
                  Py_ssize_t content, Py_ssize_t limit) except -1
    @c_.locals(at=Py_ssize_t)
    cdef int _number(self, u64 rest) except -1
    @c_.locals(data=bytes, size=Py_ssize_t)
    cdef int _content(self, object content) except -1


@c_.locals(done=list, under_way=list, number=Py_ssize_t, named=Py_ssize_t, content=Py_ssize_t,
           size=Py_ssize_t, timestamp=c_.longlong, pack=Pack,
           heads=list, pair=tuple)
cpdef list packed(str topic, object entries, Py_ssize_t partitions, long long now)
@c_.locals(size=int)
cdef inline int width(u64 rest) noexcept
@c_.locals(name_bytes=bytes)
cdef bytes encoded(object name)
