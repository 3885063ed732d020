"""Requests: traces that are read and checked, and arrivals that are drawn from them."""
