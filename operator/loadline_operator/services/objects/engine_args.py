"""
What the engine is started with: the spec in the words of vLLM's command line.

Arguments that follow from fields come first and the user's own last, so that where the
engine takes the last of two, the user's counts. What only the loops read (priority,
objectives, watts, policies) has no argument, hence never restarts anything.

Facts on the flags are of vLLM 0.32.
"""

import json
from enum import Enum

from loadline_api.engines import Engine
from loadline_api.kv_cache import SCHEDULER, SCHEDULER_OPTION, KvDtype
from loadline_api.kv_retention import WORKER, WORKER_OPTION, RetentionMode
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.pools import Phase, Pool
from loadline_operator.services.objects.probes import DRAIN_S

KV_ROLES = {Phase.PREFILL: "kv_producer", Phase.DECODE: "kv_consumer"}

KV_PORT = 5600
"""Where engines ask each other for KV; each data-parallel rank takes the next one."""


class Member(Enum):
    """A pod's part in its replica."""

    SOLE = "sole"
    LEADER = "leader"
    FOLLOWER = "follower"


def arguments(one: Description, pool: Pool, *, member: Member = Member.SOLE) -> list[str]:
    """The engine's arguments in a pool's pods."""
    spec, model, source = one.service.spec, one.service.spec.model, one.source
    assert model is not None, "a service without a model has no engine of ours"
    assert source is not None, "every model has a source"
    engine = spec.engine or Engine()
    return [
        f"--model={source.model}",
        *source.arguments,
        f"--served-model-name={model.name or one.key.name}",
        f"--port={pool.engine.port}",
        *([f"--host={one.listens_at}"] if one.listens_at else []),
        *_spread(pool),
        *_group(pool, member),
        *_lengths(engine),
        *_kv(one, pool),
        *_classes(one),
        f"--shutdown-timeout={DRAIN_S}",
        *engine.arguments,
    ]


def _spread(pool: Pool) -> list[str]:
    spread = pool.parallelism
    degrees = {"tensor": spread.tensor, "pipeline": spread.pipeline, "data": spread.data}
    sizes = [f"--{name}-parallel-size={degree}" for name, degree in degrees.items() if degree > 1]
    return [*sizes, *(["--enable-expert-parallel"] if spread.expert else [])]


def _group(pool: Pool, member: Member) -> list[str]:
    """How the nodes of one replica find each other, without Ray.

    The leader gives its address and not its name, since it listens there.
    """
    nodes = [f"--nnodes={pool.parallelism.nodes}"]
    match member:
        case Member.SOLE:
            return []
        case Member.LEADER:
            return [*nodes, "--node-rank=0", "--master-addr=$(VLLM_HOST_IP)"]
        case Member.FOLLOWER:
            rank, leader = "--node-rank=$(LWS_WORKER_INDEX)", "--master-addr=$(LWS_LEADER_ADDRESS)"
            return [*nodes, rank, leader, "--headless"]


def _lengths(engine: Engine) -> list[str]:
    most = {"--max-model-len": engine.max_model_length, "--max-num-seqs": engine.max_sequences}
    return [f"{name}={value}" for name, value in most.items() if value is not None]


def _kv(one: Description, pool: Pool) -> list[str]:
    cache = one.service.spec.kv_cache
    dtype = cache.dtype if cache is not None else KvDtype.AUTO
    told = [] if dtype is KvDtype.AUTO else [f"--kv-cache-dtype={dtype.value}"]
    if pool.phase is Phase.MIXED:
        return told
    transfer = json.dumps(_transfer(pool.phase, one.defaults), separators=(",", ":"))
    return [*told, f"--kv-transfer-config={transfer}"]


def _classes(one: Description) -> list[str]:
    """Loadline's scheduler where the spec asks for admission or retention, in all pools; the worker for the
    latter.

    Prefill engines hold the KV of prompts until decode has fetched it, so they run out of memory as well.
    """
    scheduler = [f"{SCHEDULER_OPTION}={SCHEDULER}"] if one.scheduled_by is not None else []
    bounds = one.retention.mode is not RetentionMode.OFF
    return [*scheduler, *([f"{WORKER_OPTION}={WORKER}"] if bounds else [])]


def _transfer(phase: Phase, defaults: Defaults) -> dict[str, str]:
    """How KV gets from prefill to decode; decode computes anew what it can't load.

    A prefill engine may go between its answer and the transfer, as in every rollout.
    """
    device = defaults.kv_buffer_device
    return {
        "kv_connector": "NixlConnector",
        "kv_role": KV_ROLES[phase],
        **({"kv_load_failure_policy": "recompute"} if phase is Phase.DECODE else {}),
        **({"kv_buffer_device": device} if device else {}),
    }
