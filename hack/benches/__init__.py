"""Benchmarks that are run by hand: each prints a table and writes its results."""
