# C types of held_entry.py for its compiled form.

cimport cython as c_


@c_.final
cdef class RowEntry:
    cdef public object key, payload, origin, visited


@c_.final
cdef class EntityClaim:
    cdef public object claim, doubtful
