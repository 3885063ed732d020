"""
The routers, by name: each is one module, which chooses the servers of a request when it arrives.
"""
