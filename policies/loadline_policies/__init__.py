"""
What Loadline decides, and nothing else.

The packages here hold pure functions: an observation, a state, a configuration
and a time go in, actions and the next state come out. They know no Kubernetes,
no engine, no driver, no socket and no clock, so that the operator, the agents,
the workers' plugins and the simulator can all call the same code, and a
decision can be replayed from a journal years later.
"""
