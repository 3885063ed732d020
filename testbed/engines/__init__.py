"""
A real engine for the tests, and a stand-in that starts in an instant.

    python -m testbed.engines ensure        vLLM on a CPU, NIXL and the router, once a machine
    python -m testbed.engines model DIR     a model of a million parameters that they can serve

`venvs` makes the engine, `models` what it serves, `standin` speaks the engine's language
without one.
"""
