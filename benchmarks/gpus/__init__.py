"""
What a real GPU tells, beside what the agent and the plant believe of one.

Everything else in this repository runs on fake GPUs. The commands here are for a machine
that has a real one, and they only read: no limit, no clock and no mode is ever set. Each
keeps what it saw, so that its figures can be made again where there is no GPU.
"""
