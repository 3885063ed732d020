"""
The experts' loop on one node: what engines count, what a policy makes of it, and what engines get.

`count_windows` keeps the counts of the last minutes, `outlooks` makes forecasts of them, `canaries` measures
what a capacity costs in quality, `expert_loops` has the policy decide for each engine, and
`service_statuses` is what the API shows of it. Nothing here keeps a report from being answered: what fails
leaves the engine with settings that only observe.
"""
