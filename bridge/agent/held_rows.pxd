# C types of held_rows.py for its compiled form.

cimport cython as c_

from bridge.ports.held_entry cimport EntityClaim, RowEntry

cdef extern from *:
    """
    #include <time.h>
    #ifdef __linux__
    /* As time.monotonic. */
    static CYTHON_INLINE double monotonic_seconds(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }
    #else
    static double monotonic_seconds(void) {
        PyObject *module = PyImport_ImportModule("time");
        PyObject *now = module ? PyObject_CallMethod(module, "monotonic", NULL) : NULL;
        double seconds = now ? PyFloat_AsDouble(now) : -1.0;
        Py_XDECREF(now);
        Py_XDECREF(module);
        return seconds;
    }
    #endif
    """
    double monotonic_seconds() except? -1


@c_.final
cdef class HitCounter:
    cdef readonly Py_ssize_t served


@c_.final
cdef class HeldEntity:
    cdef readonly EntityClaim claim
    cdef readonly object hits, newest, met
    cdef readonly str system, position
    cdef readonly double as_of
    cdef readonly Py_ssize_t answers
    cdef readonly HitCounter counter
    cdef readonly double max_staleness
    cdef readonly dict rows


@c_.final
cdef class KeptRow:
    cdef readonly object row
    cdef readonly RowEntry entry


@c_.final
cdef class HeldRows:
    cdef object _source, _clock
    cdef Py_ssize_t _max_bytes, _bytes
    cdef bint _is_monotonic
    cdef dict _entities

    @c_.locals(held=HeldEntity, kept=KeptRow, entry=RowEntry, staleness=double, now=double)
    cpdef object row(self, object entity, object key, object max_staleness, str event_system,
                     str event_position)
    @c_.locals(held=HeldEntity)
    cpdef Py_ssize_t answers(self, object entity) except -1
    @c_.locals(held=HeldEntity, size=Py_ssize_t)
    cpdef object keep(self, object entity, object key, object row, RowEntry entry,
                      Py_ssize_t answers)
    @c_.locals(held=HeldEntity)
    cpdef object forget(self, object entity)
    @c_.locals(kept=KeptRow)
    cdef int _drop(self, HeldEntity held, object key) except -1
    @c_.locals(held=HeldEntity)
    cdef object _drop_oldest(self)


cdef class KeyedReads:
    cdef readonly object _reads
    cdef readonly str _system, _position
    cdef readonly HeldRows _held


cdef Py_ssize_t _size(object key, RowEntry entry) except -1
