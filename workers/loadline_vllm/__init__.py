"""
Loadline's vLLM plugin, which vLLM finds by its entry point.

This version publishes a metric that it is loaded, and checks its settings; it changes nothing in the
engine. It needs no package that vLLM lacks, and imports vLLM nowhere at module level, so that the
package can be read and tested without an engine.
"""
