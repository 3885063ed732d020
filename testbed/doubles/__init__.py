"""Our own processes with less around them: agents without an API server, an operator in a test's hands."""
