"""
Shows a run: on a terminal while it runs, and as `report.html` and `summary.json` afterwards.

`snapshots` has the row's state at one moment, for a live view. `figures` computes the numbers of a
finished recording, `plots` draws them, `pages` writes both files. All figures come from the plant's
true state; nothing here runs a simulation.
"""
