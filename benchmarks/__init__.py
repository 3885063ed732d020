"""Benchmarks that are run by hand: each prints a table and writes its results."""

import os
import platform


def machine() -> str:
    """What a figure was measured on, as every result names it."""
    kernel = platform.release().partition("-")[0]
    return f"{platform.machine()}, {os.cpu_count()} cores, Linux {kernel}"
