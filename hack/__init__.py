"""Development tools of the checkout: the test bed and the fake GPUs. Never part of the wheel."""
