"""What a spec leaves to a policy of retention, and the one order of reasons, which is the API's."""

from loadline_agent.retention.spec_budgets import OF_POLICY
from loadline_api.kv_retention_status import GRAVEST_FIRST
from loadline_policies.kv.engine_memories import Reason


def test_each_reason_of_a_policy_has_its_place_among_the_gravest() -> None:
    assert OF_POLICY.keys() == set(Reason)
    assert set(OF_POLICY.values()) <= set(GRAVEST_FIRST)
