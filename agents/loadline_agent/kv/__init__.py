"""
The loop over KV memory on a node: it passes the policy's settings on to engines, and shows what they report.

Which request starts is decided inside the engine, at each of its steps (`loadline_policies.kv`). So this loop
decides nothing per report: `admission_settings` makes the settings from spec and policy, and names the reason
why an engine goes by the policy or doesn't; `admission_loops` keeps what engines report; `service_statuses`
shows it.
"""
