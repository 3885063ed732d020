"""
What Loadline adds inside of an engine: plug-ins of vLLM, found by their entry points.

Today it says that it is there and reads its settings; nothing acts on them yet. It needs
no package that vLLM hasn't, and vLLM itself is imported nowhere at the top, so that the
package can be read and tested without an engine.
"""
