# C types of waiters.py for its compiled form.

cimport cython as c_


@c_.final
cdef class ReadWaiter:
    cdef public bint _asyncio_future_blocking
    cdef readonly bint is_done, is_cancelled
    cdef readonly object loop, value, error
    cdef object message, traceback, callback, context
    cdef list others

    cpdef object call_next(self)


@c_.final
cdef class KeyGroup:
    cdef readonly object future
    cdef dict values
    cdef Py_ssize_t missing
    cdef object keys

    cdef int complete(self) except -1


@c_.final
cdef class WaitingKeys:
    cdef dict waiters

    @c_.locals(waiter=ReadWaiter)
    cpdef ReadWaiter add(self, object loop, object key)
    @c_.locals(group=KeyGroup, waiters=dict, count=Py_ssize_t)
    cpdef KeyGroup add_many(self, object loop, object keys)
    cdef int _join(self, object key, object earlier, object waiter) except -1


@c_.final
cdef class AwaitedQuery:
    cdef readonly object loop, task
    cdef readonly dict batch
    cdef readonly bint is_cancelled
    cdef object _unanswered

    @c_.locals(batch=dict, count=Py_ssize_t)
    cpdef Py_ssize_t reads(self, object keys) except -1
    @c_.locals(batch=dict, completed=list, at=Py_ssize_t)
    cpdef object answer(self, object keys, object values)


@c_.locals(at=Py_ssize_t, waiter=ReadWaiter)
cpdef object wake(object loop, list waiters)
@c_.locals(group=KeyGroup, single=ReadWaiter)
cdef int _complete(object waiter, object key, object value, list completed) except -1
cdef object _each(object waiters)
@c_.locals(single=ReadWaiter)
cpdef object fail_waiters(object loop, object of_keys, object error)
