# C types of frames.py for its compiled form.

cimport cython as c_

from bridge.plan.native cimport as_class, byte, bytes_of, load_i32, load_i64, load_u16, load_u32, load_u64, part, pointer, u64


cdef class Frames:
    cdef public object shape_of
    cdef public dict relations, shapes
    cdef public u64 received, committed, lsn, steps, resume_at, skip
    cdef public bint reply, inside
    cdef public object transaction, causation

    cdef unsigned int last_oid
    cdef object last_shape

    cpdef feed(self, object frames, object batch)
    @c_.locals(p=c_.p_const_uchar, size=Py_ssize_t, kind=int, end=u64, start=u64)
    cdef void _frame(self, bytes data, object batch, list changes) except *
    cdef void _need(self, Py_ssize_t size, Py_ssize_t wanted) except *
    cdef void _passed(self, u64 lsn) except *
    @c_.locals(p=c_.p_const_uchar, kind=int)
    cdef void _message(self, bytes data, Py_ssize_t size, object batch, list changes) except *
    cdef void _begin(self, u64 lsn, long long committed_at, unsigned int xid) except *
    cdef void _commit(self, u64 lsn, u64 end) except *
    cdef int _step(self) except -1
    @c_.locals(p=c_.p_const_uchar, is_new=bint, tag=int, at=Py_ssize_t, end=Py_ssize_t,
                   full=bint, op=int, oid=c_.uint)
    cdef void _change(self, bytes data, Py_ssize_t size, list changes, int kind) except *
    @c_.locals(p=c_.p_const_uchar, at=Py_ssize_t)
    cdef void _relation(self, bytes data, Py_ssize_t size) except *
    @c_.locals(p=c_.p_const_uchar, at=Py_ssize_t, length=Py_ssize_t)
    cdef void _logical(self, bytes data, Py_ssize_t size, object batch) except *
    @c_.locals(p=c_.p_const_uchar, count=Py_ssize_t, index=Py_ssize_t)
    cdef void _truncate(self, bytes data, Py_ssize_t size, object batch) except *


@c_.locals(count=int, kind=int, length=Py_ssize_t, _=int)
cdef Py_ssize_t tuple_end(const byte* p, Py_ssize_t at, Py_ssize_t size) except -1
