"""Fake GPUs: an NVML in C over shared memory, the board behind it, and the plant that drives it."""
