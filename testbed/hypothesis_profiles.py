"""
How Hypothesis looks for examples in all tests, also in those that the engine's interpreter runs.

A busy machine is not a failure: neither an example's time nor the making of examples is judged. A failure
is shrunk but not explained: explaining runs it some hundred times more.
"""

import os

from hypothesis import HealthCheck, Phase, settings

PATIENT = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)


def load() -> None:
    """Load the profile that HYPOTHESIS_PROFILE names.

    `make check` looks a quarter as long as CI, which looks as long as Hypothesis does by itself.
    """
    settings.register_profile("default", PATIENT, max_examples=25)
    settings.register_profile("ci", PATIENT, derandomize=True, database=None)
    settings.register_profile("thorough", PATIENT, max_examples=2_000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
