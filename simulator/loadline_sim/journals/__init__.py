"""Journals of agents, replayed: what policies decided live is decided again, by the same or by others."""
