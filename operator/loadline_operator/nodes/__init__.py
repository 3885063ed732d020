"""What the operator does to Nodes: it takes the start-up taint off once their agent has reported."""
