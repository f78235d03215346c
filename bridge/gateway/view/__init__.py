"""The view: a local copy of a system's captured entities in one SQLite file, kept up by their change
topics. A read of it asks the legacy system nothing.

change topics -> ViewFollower -> ViewStore (the file's owner) ; get / related / query -> ViewReads
"""
