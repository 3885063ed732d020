"""
How long work of the simulator tells how far it is, without knowing who shows it.
"""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Receives the name of the current step, and the share of it that is done (0 to 1)."""
