"""What is advised where no budget helps: what suffices, what the quality allows, the best first."""

import pytest

from loadline_policies.kv.advices import Advice, advice

EIGHT, FOUR, OFFLOAD, REPLICAS = Advice


@pytest.mark.parametrize(
    ("demand_percent", "kv_bits", "least_bits", "shares", "told"),
    [
        (120.0, 16, 4, False, (EIGHT, FOUR, REPLICAS)),
        (180.0, 16, 4, False, (EIGHT, FOUR, REPLICAS)),
        (200.0, 16, 4, False, (FOUR, REPLICAS)),
        (400.0, 16, 4, False, (REPLICAS,)),
        (120.0, 16, 8, False, (EIGHT, REPLICAS)),
        (120.0, 16, 16, False, (REPLICAS,)),
        (120.0, 8, 4, False, (FOUR, REPLICAS)),
        (120.0, 4, 4, False, (REPLICAS,)),
        (120.0, None, 4, False, (REPLICAS,)),
        (None, 16, 4, False, (REPLICAS,)),
        (float("nan"), 16, 4, False, (REPLICAS,)),
        (400.0, 16, 16, True, (OFFLOAD, REPLICAS)),
    ],
)
def test_what_suffices_and_is_allowed_is_advised_in_order(
    demand_percent: float | None,
    kv_bits: int | None,
    least_bits: int,
    shares: bool,
    told: tuple[Advice, ...],
) -> None:
    assert (
        advice(
            demand_percent=demand_percent,
            enough_percent=90,
            kv_bits=kv_bits,
            least_bits=least_bits,
            shares_prefixes=shares,
        )
        == told
    )
