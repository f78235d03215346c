"""Rows and lists that were read, kept right by the change topics. Pure: no I/O, no clock.

`cache_state` joins the parts: `sieve` evicts, `entry` is what is held, `fences` decides which reads
may be stored, `change_effect` what an event does to what is held, `lists` which lists it affects.
"""
