"""
The API server as the agent sees it: what it declares, the elections, and the objects we write.

Fulfils `domain.ports`: `declarations` and `elections` are what the domain asks for. Objects are
parsed once, in `parsed_objects`, and remembered in `checkpoints` while the API server is away.
"""
