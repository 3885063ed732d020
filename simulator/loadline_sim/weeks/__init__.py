"""
A row of servers over weeks: its watts by the second, and in ticks of the plant wherever a policy acts.
"""
