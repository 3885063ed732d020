"""
How long a GPU server takes and how many watts it draws, by phase, batch and clock.

Pure functions over parameters that are data: the plant makes its hardware of them, the simulator its
what-ifs, and a controller its forecasts, so that all three are wrong in the same way and a fit error printed
for one holds for all. `steps` has the time of one step of an engine instead, by what is in its batch, and
`gpu_memories` how fast GPUs read their memory.
"""
