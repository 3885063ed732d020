"""The live demo: the play on a real control plane, with a real agent on every node of the row."""
