"""
The parts of `benchmarks.engine_error`: loads, recordings of a real engine, the model, and what is off.
"""
