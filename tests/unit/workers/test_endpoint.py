"""The entry into the engine's front-end: it starts the channel once, and never raises into the engine."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from loadline_api.kv_cache import SCHEDULER
from loadline_vllm import held_settings, presence
from loadline_vllm.channel.settings_leases import SettingsLease
from loadline_vllm.endpoint import Endpoint

WORKER = {
    "NAMESPACE": "prod",
    "SERVICE": "chat",
    "POOL": "main",
    "POD_NAME": "chat-main-0",
    "POD_UID": "uid-0",
    "AGENT": "http://127.0.0.1:1",
}


class WorkerBase:
    """In the place of vLLM's class of workers."""


class EngineCore:
    """In the place of vLLM's class of engine cores."""


class Core:
    """Two engines for data parallelism, with two ranks each."""

    def __init__(self) -> None:
        self.core_engines = [b"0", b"1"]
        self.ranks = [WorkerBase() for _ in range(4)]
        self.cores = [EngineCore() for _ in range(2)]
        self.called: list[tuple[Any, ...]] = []

    async def call_utility_all_async(self, *call: Any) -> list[Any]:
        self.called.append(call)
        if call[0] != "collective_rpc":
            return [getattr(core, call[0])(*call[1:]) for core in self.cores]
        (utility, method, _timeout, (text,), _) = call
        assert utility == "collective_rpc"
        answers = [getattr(rank, method)(text) for rank in self.ranks]
        return [answers[:2], answers[2:]]


def client(core: Core, *, rank: int = 0, scheduler: object = SCHEDULER) -> Any:
    config = SimpleNamespace(
        parallel_config=SimpleNamespace(world_size=2, _api_process_rank=rank),
        scheduler_config=SimpleNamespace(scheduler_cls=scheduler),
    )
    return SimpleNamespace(vllm_config=config, engine_core=core)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CollectorRegistry]:
    """A fresh process of an engine with the general plugin in it, and all that its pod is told."""
    registry = CollectorRegistry()
    for kind in ("Counter", "Gauge"):
        made = getattr(prometheus_client, kind)
        monkeypatch.setattr(
            prometheus_client, kind, lambda *args, made=made, **more: made(*args, registry=registry, **more)
        )
    for name, value in WORKER.items():
        monkeypatch.setenv(f"LOADLINE_{name}", value)
    monkeypatch.setenv("LOADLINE_TOKEN_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("LOADLINE_EXPERTS", "observe")
    monkeypatch.setattr(held_settings, "rank_class", lambda: WorkerBase)
    monkeypatch.setattr(held_settings, "core_class", lambda: EngineCore)
    held_settings.install(WorkerBase, held_settings.RANK_LOOPS)
    held_settings.install(EngineCore, held_settings.CORE_LOOPS)
    yield registry
    for of_vllm in (WorkerBase, EngineCore):
        delattr(of_vllm, held_settings.METHOD)
        delattr(of_vllm, held_settings.COUNTS)


async def started(engine_client: Any, *, until: Callable[[], bool] = lambda: True) -> Endpoint:
    """The entry point after it was called, once `until` holds."""
    endpoint = Endpoint()
    endpoint.attach_router(object())
    await endpoint.init_state(engine_client, object(), object())
    end_s = time.monotonic() + 10.0
    while not until():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.01)
    return endpoint


def asked(core: Core) -> set[str]:
    """The methods that were called on all ranks."""
    return {call[1] for call in core.called if call[0] == "collective_rpc"}


def cores_asked(core: Core) -> set[str]:
    """The methods that were called on all engine cores."""
    return {call[0] for call in core.called} - {"collective_rpc"}


def off(registry: CollectorRegistry, reason: str) -> float | None:
    return registry.get_sample_value(presence.CHANNEL_OFF.name, {"reason": reason})


async def test_all_ranks_of_all_engines_are_asked_with_one_string_and_no_timeout(
    registry: CollectorRegistry,
) -> None:
    core = Core()
    both = {held_settings.METHOD, held_settings.COUNTS}
    endpoint = await started(client(core), until=lambda: asked(core) == both)
    for _, _, timeout, arguments, keywords in core.called:
        assert (timeout, keywords) == (None, None)
        assert [type(one) for one in arguments] == [str]
    assert [getattr(rank, held_settings.HELD) for rank in core.ranks] == [{}] * 4
    assert endpoint._running is not None
    endpoint._running.cancel()
    assert off(registry, "failure") is None


@pytest.mark.usefixtures("registry")
async def test_ranks_that_count_nothing_are_not_asked_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADLINE_EXPERTS", "off")
    core = Core()
    endpoint = await started(client(core), until=lambda: bool(core.called))
    await asyncio.sleep(0.05)
    assert asked(core) == {held_settings.METHOD}
    assert endpoint._running is not None
    endpoint._running.cancel()


@pytest.mark.parametrize(
    ("counts", "layers"),
    [
        (
            lambda: {
                "layers": {},
                "bypassed": {"a": "ZeroExperts"},
                "unbounded": {},
                "settings": {},
                "eplb": None,
            },
            1.0,
        ),
        (lambda: {"layers": "of another form"}, None),
        (dict, None),
    ],
    ids=["counts", "nonsense", "nothing"],
)
async def test_what_the_ranks_counted_is_published_and_never_raised(
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    counts: Callable[[], dict[str, Any]],
    layers: float | None,
) -> None:
    monkeypatch.setitem(
        held_settings.RANK_LOOPS, "experts", held_settings.Loop(lambda _, __: {}, lambda _: counts())
    )
    core = Core()

    def bypassed() -> float | None:
        return registry.get_sample_value("loadline:experts_bypassed", {"reason": "ZeroExperts"})

    endpoint = await started(
        client(core), until=lambda: held_settings.COUNTS in asked(core) and bypassed() == layers
    )
    assert off(registry, "failure") is None
    assert endpoint._running is not None
    endpoint._running.cancel()


@pytest.fixture
def admitting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that may admit by prediction, and serves no layer of experts."""
    monkeypatch.setenv("LOADLINE_EXPERTS", "off")
    monkeypatch.setenv("LOADLINE_ADMISSION", "observe")


@pytest.mark.usefixtures("registry", "admitting")
async def test_all_cores_hold_a_change_with_the_ranks() -> None:
    core = Core()
    both = {held_settings.METHOD, held_settings.COUNTS}
    endpoint = await started(client(core), until=lambda: cores_asked(core) == both)
    assert asked(core) == {held_settings.METHOD}
    assert [getattr(one, held_settings.HELD) for one in (*core.ranks, *core.cores)] == [{}] * 6
    assert [call[0] for call in core.called].count(held_settings.METHOD) == 1
    assert endpoint._running is not None
    endpoint._running.cancel()


@pytest.mark.usefixtures("admitting")
async def test_a_change_that_a_core_refuses_does_not_hold(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> dict[str, str]:
        raise ValueError("not these")

    monkeypatch.setitem(held_settings.CORE_LOOPS, "kv", held_settings.Loop(refuse, lambda _: {}))
    acknowledged: list[Any] = []
    taken = SettingsLease.acknowledge

    def acknowledge(lease: SettingsLease, generations: Sequence[int | None]) -> bool:
        acknowledged.append(generations)
        return taken(lease, generations)

    monkeypatch.setattr(SettingsLease, "acknowledge", acknowledge)
    endpoint = await started(client(Core()), until=lambda: bool(acknowledged))
    assert [*acknowledged[0]] == [None] * 4
    assert endpoint._running is not None
    endpoint._running.cancel()


@pytest.mark.usefixtures("admitting")
async def test_what_the_cores_counted_is_published(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"off": "OtherScheduler"}
    monkeypatch.setitem(
        held_settings.CORE_LOOPS, "kv", held_settings.Loop(lambda _, __: {}, lambda _: answer)
    )

    def off_cores() -> float | None:
        return registry.get_sample_value("loadline:admission_off", {"reason": "OtherScheduler"})

    endpoint = await started(client(Core()), until=lambda: off_cores() == 2.0)
    assert endpoint._running is not None
    endpoint._running.cancel()


@pytest.mark.usefixtures("admitting")
@pytest.mark.parametrize(
    ("scheduler", "is_logged"), [(None, True), ("other.Scheduler", True), (Core, True), (SCHEDULER, False)]
)
async def test_an_engine_without_the_scheduler_is_logged_with_the_option(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture, scheduler: object, is_logged: bool
) -> None:
    endpoint = await started(client(Core(), scheduler=scheduler))
    assert (f"start it with --scheduler-cls {SCHEDULER}" in caplog.text) is is_logged
    assert endpoint._running is not None
    endpoint._running.cancel()


@pytest.mark.usefixtures("admitting")
async def test_cores_without_the_methods_are_never_called(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bare:
        pass

    monkeypatch.setattr(held_settings, "core_class", lambda: Bare)
    core = Core()
    assert (await started(client(core)))._running is None
    assert (core.called, off(registry, "failure")) == ([], 1.0)


@pytest.mark.parametrize("rank", [1, 7])
async def test_only_the_first_api_server_has_the_channel(registry: CollectorRegistry, rank: int) -> None:
    core = Core()
    assert (await started(client(core, rank=rank)))._running is None
    assert core.called == []


async def test_a_server_without_an_engine_has_no_channel(registry: CollectorRegistry) -> None:
    assert (await started(None))._running is None


@pytest.mark.parametrize("name", sorted(WORKER))
async def test_an_engine_that_is_not_told_who_it_is_has_no_channel(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(f"LOADLINE_{name}")
    assert (await started(client(Core())))._running is None
    assert off(registry, "unset") == 1.0


async def test_ranks_without_the_method_are_never_called(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bare:
        pass

    monkeypatch.setattr(held_settings, "rank_class", lambda: Bare)
    core = Core()
    assert (await started(client(core)))._running is None
    assert (core.called, off(registry, "failure")) == ([], 1.0)


@pytest.mark.parametrize(
    "engine_client",
    [object(), SimpleNamespace(vllm_config=None), client(Core(), rank=0).vllm_config],
    ids=["nothing", "no-config", "another-object"],
)
async def test_a_front_end_of_another_make_is_left_alone(
    registry: CollectorRegistry, engine_client: Any
) -> None:
    assert (await started(engine_client))._running is None
    assert off(registry, "failure") == 1.0


async def test_a_channel_that_ends_is_published_and_ends_nothing(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadline_vllm.channel.settings_leases.SettingsLease.due", None)
    await started(client(Core()), until=lambda: off(registry, "failure") == 1.0)
