"""
Studies: one question about fleets each, answered by many simulations and told with the range of their error.
"""
