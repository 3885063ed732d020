"""
The plugin's channel to the agent of its node, by which an engine's loops get their settings.

`settings_leases` decides which settings all ranks should hold; it has no clock and no socket. It knows no
loop: what a section of settings means is up to the loop that reads it.
"""
