"""
Loadline's vLLM plugin, which vLLM finds by its entry point.

This version publishes a metric that it is loaded, and asks the agent of its node for settings
(`channel`), by which no loop acts yet. It needs no package that vLLM lacks, and imports vLLM nowhere at
module level, so that the package can be read and tested without an engine.
"""
