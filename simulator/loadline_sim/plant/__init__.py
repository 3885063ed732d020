"""The hardware that is simulated: servers, GPUs, the breaker, and what is recorded of them."""
