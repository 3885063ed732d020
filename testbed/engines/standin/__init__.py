"""
An engine that computes nothing: vLLM's API, command line and metrics, in an instant.

Most of a life cycle (start, ready, scale, drain, crash) has nothing to do with what an
engine computes, and a real one takes a minute of two cores for it. This one starts in a
fraction of a second, answers each prompt in its own way, hands KV from prefill to decode
over a real socket, and misbehaves as told by `STANDIN_*` in its environment. It needs
Python and nothing else, so that an image of it stays small.

`settings` says what it is told, `engines` answers, `transfers` plays NIXL, `metrics` has
vLLM's names, `servers` speaks HTTP, `__main__` starts and ends it.
"""
