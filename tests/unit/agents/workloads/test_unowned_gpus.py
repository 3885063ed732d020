"""A GPU that draws and that no known pod has counts as somebody's, until it has been idle for a while."""

from loadline_agent.workloads.unowned_gpus import HOLD_S, SETTLE_S, UnownedGpus
from loadline_policies.power.protocol.node_states import GpuState


def gpu(uuid: str = "GPU-0", watts: float = 350.0, *, ok: bool = True) -> GpuState:
    return GpuState(uuid=uuid, sensor_watts=watts, min_watts=200.0, max_watts=700.0, ok=ok)


def seen(*looks: tuple[float, GpuState], pods: frozenset[str] = frozenset()) -> tuple[str, ...]:
    found = UnownedGpus()
    for now, state in looks:
        found.see([state], explained=pods.__contains__, now=now)
    return found.uuids


def test_one_that_draws_for_some_seconds_is_in_use() -> None:
    assert seen((0.0, gpu())) == ()
    assert seen((0.0, gpu()), (SETTLE_S, gpu())) == ("GPU-0",)


def test_an_idle_one_is_nobodys() -> None:
    assert seen(*((float(now), gpu(watts=70.0)) for now in range(100))) == ()


def test_a_pods_gpu_is_the_pods() -> None:
    assert seen((0.0, gpu()), (SETTLE_S, gpu()), pods=frozenset({"GPU-0"})) == ()


def test_one_whose_sensor_is_not_believed_may_be_in_use() -> None:
    assert seen((0.0, gpu(watts=0.0, ok=False)), (SETTLE_S, gpu(watts=0.0, ok=False))) == ("GPU-0",)


def test_a_pause_is_no_end() -> None:
    drawn = ((0.0, gpu()), (SETTLE_S, gpu()))
    assert seen(*drawn, (SETTLE_S + HOLD_S - 1.0, gpu(watts=70.0))) == ("GPU-0",)
    assert seen(*drawn, (SETTLE_S + HOLD_S, gpu(watts=70.0))) == ()


def test_what_a_pod_leaves_warm_is_soon_nobodys() -> None:
    found = UnownedGpus()
    for now in range(100):
        found.see([gpu()], explained=lambda uuid: True, now=float(now))
    for now in range(100, 105):
        found.see([gpu()], explained=lambda uuid: False, now=float(now))
        assert found.uuids == ()
    found.see([gpu(watts=70.0)], explained=lambda uuid: False, now=105.0 + SETTLE_S)
    assert found.uuids == ()


def test_one_that_is_gone_or_had_again_is_forgotten() -> None:
    found = UnownedGpus()
    for now in (0.0, SETTLE_S):
        found.see([gpu(), gpu("GPU-1"), gpu("GPU-2")], explained=lambda uuid: False, now=now)
    assert list(found.uuids) == ["GPU-0", "GPU-1", "GPU-2"]
    found.see([gpu(), gpu("GPU-1")], explained=lambda uuid: uuid == "GPU-1", now=SETTLE_S + 1.0)
    assert list(found.uuids) == ["GPU-0"]
