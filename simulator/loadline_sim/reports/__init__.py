"""
What a run shows: to a terminal while it goes on, as a page and a file when it is over.

`snapshots` is the moment, handed to a live view. `figures` computes what a finished
recording says, `plots` draws it, `pages` writes `report.html` and `summary.json`. All of
it is read from the plant's true state; nothing here runs a simulation.
"""
