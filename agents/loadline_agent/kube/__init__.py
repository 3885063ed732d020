"""
The API server as the agent sees it: what it declares, the elections, and the objects we write.

Fulfils `domain.ports`: `declarations` and `elections` are what the domain asks for. Objects are
parsed once, in `object_parsers`, and remembered in `checkpoint_files` while the API server is away.
"""
