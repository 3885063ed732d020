"""What holds without a coordinator: the breaker's curve, and limits under which all nodes fit the budget."""
