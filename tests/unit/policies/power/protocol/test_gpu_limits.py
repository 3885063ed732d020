"""One GPU's limit: the least of all bounds, and who is told that he gets less."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.domains import Ceiling, Domain, ServiceTerms
from loadline_policies.power.protocol.gpu_limits import (
    HoldReason,
    Raising,
    RowOrders,
    allowed_watts,
    bounded,
    limit_of,
)
from loadline_policies.power.protocol.messages import GpuReport
from loadline_policies.power.rows import FREE, Cap, Caps

CALM = RowOrders(caps=Caps())
HELD_BACK = RowOrders(caps=Caps(low=Cap(1110, 250.0), high=Cap(1305, 300.0), level="High"))
GPU = GpuReport(
    uuid="GPU-0",
    watts=200.0,
    enforced_watts=400.0,
    min_watts=100.0,
    max_watts=400.0,
    able=True,
    proven=True,
    owners=("prod/chat",),
)


def domain(**watts: float | None) -> Domain:
    """`chat` and `code` of high priority, with these bounds of their own."""
    return Domain(
        name="row",
        budget_watts=20_000.0,
        members=frozenset({"node-0"}),
        document=parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca"),
        enforce=True,
        services={f"prod/{name}": ServiceTerms(priority=100, max_watts=most) for name, most in watts.items()},
    )


def given_watts(
    orders: RowOrders = CALM, gpu: GpuReport = GPU, raising: Raising = Raising.FREELY, **watts: float | None
) -> float:
    return limit_of(gpu, orders, domain(**watts), safe_watts=200.0, raising=raising).watts


def test_a_service_bounds_its_gpus_whatever_the_row_allows() -> None:
    assert given_watts(chat=300.0) == 300.0
    assert given_watts(chat=None) == 400.0


def test_the_lowest_bound_of_all_services_on_a_gpu_holds() -> None:
    shared = replace(GPU, owners=("prod/chat", "prod/code", "prod/ghost"))
    assert given_watts(gpu=shared, chat=350.0, code=250.0) == 250.0


def test_a_bound_goes_no_lower_than_the_gpu_can_be_set() -> None:
    assert given_watts(chat=1.0) == 100.0
    assert allowed_watts(GPU, domain(chat=1.0)) == 100.0


def test_a_bound_beyond_the_gpu_raises_nothing() -> None:
    assert given_watts(chat=9000.0) == 400.0
    assert not bounded([GPU], domain(chat=9000.0))
    assert bounded([GPU], domain(chat=399.0))


BOUNDS = st.one_of(st.none(), st.floats(1.0, 1000.0))
ORDERS = st.builds(
    RowOrders,
    caps=st.builds(
        Caps,
        low=st.just(Cap(1110)),
        high=st.builds(Cap, st.sampled_from([None, 1305]), st.sampled_from([None, 50.0, 300.0])),
        brake=st.booleans(),
    ),
    held=st.sampled_from(HoldReason),
    relieved=st.sampled_from([frozenset(), frozenset({"GPU-0"})]),
)
GPUS = st.builds(replace, st.just(GPU), enforced_watts=st.floats(100.0, 400.0))


@given(ORDERS, GPUS, st.sampled_from(Raising), BOUNDS)
def test_a_services_bound_never_raises_a_limit(
    orders: RowOrders, gpu: GpuReport, raising: Raising, most: float | None
) -> None:
    assert given_watts(orders, gpu, raising, chat=most) <= given_watts(orders, gpu, raising, chat=None)
    assert given_watts(orders, gpu, raising, chat=most) <= max(100.0, most or 400.0)


@given(ORDERS, GPUS, st.sampled_from(Raising))
def test_relief_never_lifts_a_gpu_past_safe_in_need_nor_past_what_is_in_force_in_doubt(
    orders: RowOrders, gpu: GpuReport, raising: Raising
) -> None:
    relieved = replace(orders, relieved=frozenset({"GPU-0"}))
    watts = given_watts(relieved, gpu, raising, chat=None)
    if orders.safe:
        assert watts <= 200.0
    if raising is Raising.NOT:
        assert watts <= gpu.enforced_watts
    if orders.safe or raising is not Raising.FREELY:
        assert relieved.relieved
        assert watts == given_watts(replace(orders, relieved=frozenset()), gpu, raising, chat=None)


ODD = st.builds(
    replace,
    st.just(GPU),
    min_watts=st.sampled_from([100.0, 399.5, 400.0]),
    enforced_watts=st.sampled_from([100.0, 400.0, 500.0]),
    able=st.booleans(),
    proven=st.booleans(),
)


@given(ORDERS, ODD, st.sampled_from(Raising), st.sampled_from([50.0, 250.0, 500.0]), st.booleans())
def test_no_gpu_is_told_what_it_cannot_hold(
    orders: RowOrders, gpu: GpuReport, raising: Raising, safe_watts: float, probe: bool
) -> None:
    """One without a range has its maximum for both ends: a probe above it cost its node every lease."""
    limit = limit_of(gpu, orders, domain(chat=None), safe_watts=safe_watts, raising=raising, probe=probe)
    assert gpu.min_watts <= limit.watts <= gpu.max_watts
    assert gpu.min_watts <= limit.safe_watts <= gpu.max_watts


def test_a_gpu_that_is_relieved_is_let_off_its_classs_cap_and_its_neighbour_isnt() -> None:
    orders = replace(HELD_BACK, relieved=frozenset({"GPU-0"}))
    one, other = (
        limit_of(gpu, orders, domain(chat=None), safe_watts=200.0, raising=Raising.FREELY)
        for gpu in (GPU, replace(GPU, uuid="GPU-1"))
    )
    assert (one.clock_mhz, one.watts) == (None, 400.0)
    assert (other.clock_mhz, other.watts) == (1305, 300.0)


def test_a_gpu_that_is_relieved_keeps_its_services_own_bound() -> None:
    assert given_watts(replace(HELD_BACK, relieved=frozenset({"GPU-0"})), chat=350.0) == 350.0


@pytest.mark.parametrize("raising", [Raising.NOT, Raising.TO_SAFE])
def test_an_unsure_coordinator_lets_nobody_off(raising: Raising) -> None:
    orders = replace(HELD_BACK, relieved=frozenset({"GPU-0"}))
    limit = limit_of(GPU, orders, domain(chat=None), safe_watts=200.0, raising=raising)
    assert limit.clock_mhz == 1305


def test_relief_that_ends_is_less_for_its_node_only() -> None:
    before = replace(HELD_BACK, relieved=frozenset({"GPU-0"}))
    assert HELD_BACK.lowers(before, ["GPU-0", "GPU-1"])
    assert not HELD_BACK.lowers(before, ["GPU-2"])


def test_relief_that_begins_is_less_for_nobody() -> None:
    assert not replace(HELD_BACK, relieved=frozenset({"GPU-0"})).lowers(HELD_BACK, ["GPU-0"])


def test_relief_that_ends_with_the_cap_is_less_for_nobody() -> None:
    before = replace(HELD_BACK, relieved=frozenset({"GPU-0"}))
    deep = replace(HELD_BACK, caps=replace(HELD_BACK.caps, high=FREE))
    assert not deep.lowers(before, ["GPU-0"])


@pytest.mark.parametrize(
    ("gpu", "orders", "watts"),
    [
        (replace(GPU, proven=False), CALM, 399.0),
        (replace(GPU, proven=False, enforced_watts=300.0), CALM, 299.0),
        (replace(GPU, proven=False, enforced_watts=100.0), CALM, 101.0),
        (replace(GPU, proven=False, enforced_watts=100.0, found_watts=100.0), CALM, 100.0),
        (replace(GPU, proven=False), RowOrders(caps=Caps(), held=HoldReason.HEAT), 200.0),
        (replace(GPU, proven=False, able=False, safe_watts=200.0), CALM, 200.0),
        (GPU, CALM, 400.0),
    ],
    ids=["free", "found lower", "at its lowest", "found at its lowest", "held", "unable", "proven"],
)
def test_a_gpu_that_was_never_written_is_told_a_step(gpu: GpuReport, orders: RowOrders, watts: float) -> None:
    assert given_watts(orders, gpu) == watts


@pytest.mark.parametrize(
    ("ceiling", "found", "default", "watts"),
    [
        (Ceiling.FOUND, 350.0, 300.0, 350.0),
        (Ceiling.FOUND, None, 300.0, 300.0),
        (Ceiling.FOUND, None, None, 400.0),
        (Ceiling.FOUND, 900.0, None, 400.0),
        (Ceiling.FOUND, 20.0, None, 100.0),
        (Ceiling.DEFAULT, 350.0, 300.0, 300.0),
        (Ceiling.DEFAULT, 350.0, None, 400.0),
        (Ceiling.MAXIMUM, 350.0, 300.0, 400.0),
    ],
)
def test_nobody_is_raised_above_what_the_domain_allows(
    ceiling: Ceiling, found: float | None, default: float | None, watts: float
) -> None:
    gpu = replace(GPU, found_watts=found, default_watts=default)
    declared = replace(domain(), ceiling=ceiling)
    assert limit_of(gpu, CALM, declared, safe_watts=200.0, raising=Raising.FREELY).watts == watts
    assert not bounded([gpu], declared), "what was found is given back, whatever the row draws"
