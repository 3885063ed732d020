"""
What an administrator can do where no smaller budget may be put in force and KV memory stays short.

All of it restarts engines or costs GPUs, so a policy only advises it; what to write into a manifest is for
whoever shows the advice. Fewer bits for each number come first, if the memory would suffice then: they cost
little quality and nothing else. An engine with quantized KV memory bounds no request yet, so it has to
suffice without budgets. Offloading to the host's memory keeps prefixes that are asked for again, but gives
running requests no room. More replicas always help, and cost most.
"""

from enum import StrEnum


class Advice(StrEnum):
    """What would help, in the words of the API and in the order of preference."""

    KV_8_BIT = "KvCache8Bit"
    KV_4_BIT = "KvCache4Bit"
    OFFLOAD = "KvOffload"
    MORE_REPLICAS = "MoreReplicas"


def advice(
    *,
    demand_percent: float | None,
    enough_percent: float,
    kv_bits: int | None,
    least_bits: int,
    shares_prefixes: bool,
) -> tuple[Advice, ...]:
    """What would help, the best first.

    `demand_percent` is how full the memory would be if all tokens were kept, None if that is unknown; up to
    `enough_percent` suffices. The service's quality allows no fewer than `least_bits`. `shares_prefixes` says
    whether many prompts begin as earlier ones did.
    """
    found = [
        quantized
        for quantized, bits in ((Advice.KV_8_BIT, 8), (Advice.KV_4_BIT, 4))
        if kv_bits is not None
        and demand_percent is not None
        and least_bits <= bits < kv_bits
        and demand_percent * bits / kv_bits <= enough_percent
    ]
    if shares_prefixes:
        found.append(Advice.OFFLOAD)
    return *found, Advice.MORE_REPLICAS
