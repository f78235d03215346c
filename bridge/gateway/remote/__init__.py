"""A system's reads in a process of their own: clients ask its owner, one request per batch.

RemoteReader (the client's Reader)  --frames-->  ReadServer (the owner)  ->  Limiter  ->  Reader
"""
