"""KV memory on small real engines, and what their answers must be."""
