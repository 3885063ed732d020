"""A served model on a real node: the cluster, the load on it, and the demo that shows it."""
