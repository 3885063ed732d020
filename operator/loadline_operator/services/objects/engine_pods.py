"""
The pod of an engine: one container named `vllm`, what it needs around it, and the
user's parts laid over.

The cluster's defaults come first, then what the service says, then what its pool says;
the labels that select the pod are laid on last, because nothing works without them.
Some things can only be said once all parts are known: the container that fetches the
model sees what the engine sees, the engine is offline unless somebody said otherwise or it
can't be told what it loads, a list of plugins gets ours, and the port by which others find
the engine is there whatever a template removes.
"""

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from loadline_api.names import ENGINE_CONTAINER, HTTP_PORT
from loadline_api.removals import Removal
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects import named_ports, worker_channels
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.engine_args import KV_PORT, Member, arguments
from loadline_operator.services.objects.engine_traits import container_of
from loadline_operator.services.objects.model_sources import FETCHER, Source, fetching
from loadline_operator.services.objects.pod_templates import is_named, lay_over
from loadline_operator.services.objects.pools import Phase, Pool, recommended
from loadline_operator.services.objects.probes import GRACE_S, engine_probes, forgotten_first
from loadline_operator.services.objects.removed_keys import finds, outcomes, without_removed_of
from loadline_operator.services.objects.security_contexts import confined_container, confined_pod
from loadline_operator.services.objects.worker_channels import PLUGIN, PLUGINS

HOME = "/home/engine"
OFFLINE = "HF_HUB_OFFLINE"
TRUE = frozenset({"1", "ON", "YES", "TRUE"})
"""As the Hub's library reads it."""

ALIKE = ("image", "imagePullPolicy", "env", "envFrom", "securityContext")
"""What the container that fetches has of the engine's: tokens, proxies and certificates are in there."""

PLAINLY = {"name": "NO_COLOR", "value": "1"}
"""Its last words end up in a condition."""

COMMON = frozenset({"cpu", "memory", "ephemeral-storage"})
"""Resources that are no device."""


def pod_template(one: Description, pool: Pool, *, member: Member = Member.SOLE) -> Manifest:
    """The template of a pool's pods."""
    source = one.source
    assert source is not None, "a service without a model has no engine of ours"
    template: Manifest = {"spec": _spec(one, pool, source=source, member=member)}
    for parts in pool.templates:
        template = lay_over(template, parts)
    port = _port(pool) if member is not Member.FOLLOWER else None
    finished = {**template, "spec": _finished(template.get("spec"), pool, source=source, port=port)}
    labels = {**recommended(one.key.name, pool.name), **pool.labels}
    return lay_over(finished, {"metadata": {"labels": labels}})


def removals(
    one: Description, pool: Pool, *, member: Member = Member.SOLE
) -> Iterator[tuple[Mapping[str, Any], Removal, bool]]:
    """Removals of a pool's templates, each with its template and whether it finds something in the pod."""
    source = one.source
    assert source is not None, "a service without a model has no engine of ours"
    template: Manifest = {"spec": _spec(one, pool, source=source, member=member)}
    told: list[tuple[Mapping[str, Any], Removal, bool]] = []
    for parts in pool.templates:
        told += [(parts, each, found) for each, found in outcomes(template, parts)]
        template = lay_over(template, parts)
    engine = container_of(template.get("spec"), ENGINE_CONTAINER)
    late: tuple[Manifest, ...] = ()
    if engine is not None and source.hub is not None:
        late = (_fetcher(engine, pool, source=source), _offline())
    for parts, each, found in told:
        yield parts, each, found or any(finds(container, each) for container in late)


def _spec(one: Description, pool: Pool, *, source: Source, member: Member) -> Manifest:
    volumes: list[Manifest] = [
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
        {"name": "home", "emptyDir": {}},
        *([worker_channels.volume()] if one.defaults.agent_url else []),
    ]
    return {
        "serviceAccountName": one.engine_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": confined_pod(),
        "containers": [_engine(one, pool, source=source, member=member)],
        "volumes": [*volumes, *([source.volume] if source.volume else [])],
    }


def _engine(one: Description, pool: Pool, *, source: Source, member: Member) -> Manifest:
    container: Manifest = {
        "name": ENGINE_CONTAINER,
        "image": one.defaults.engine_image,
        "args": arguments(one, pool, member=member),
        "env": _environment(one, pool, source),
        "resources": {"limits": {one.defaults.gpu_resource: str(pool.parallelism.gpus_of_a_pod)}},
        "securityContext": confined_container(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(one, source),
    }
    if member is Member.FOLLOWER:
        return container
    probes = engine_probes(tls=pool.engine.tls)
    return {**container, "ports": [_port(pool)], **probes, "lifecycle": forgotten_first()}


def _port(pool: Pool) -> Manifest:
    """Where the engine answers, by the name by which all others ask for it."""
    return {"name": HTTP_PORT, "containerPort": pool.engine.port, "protocol": "TCP"}


def _environment(one: Description, pool: Pool, source: Source) -> list[Manifest]:
    address = {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    known = {"HOME": HOME, **_place(pool), **source.environment}
    environment: list[Manifest] = [{"name": name, "value": value} for name, value in known.items()]
    if one.defaults.agent_url:
        environment += worker_channels.environment(
            one.defaults.agent_url,
            experts=one.service.spec.experts_mode,
            admission=one.admission_mode,
            retention=one.retention,
        )
    if pool.spans_nodes:
        environment.append({"name": "VLLM_HOST_IP", **address})
    if pool.phase is not Phase.MIXED:
        environment.append({"name": "VLLM_NIXL_SIDE_CHANNEL_HOST", **address})
        environment.append({"name": "VLLM_NIXL_SIDE_CHANNEL_PORT", "value": str(KV_PORT)})
    return environment


def _place(pool: Pool) -> dict[str, str]:
    """The engine's place in the cluster, as our plugin reads it."""
    return {
        "LOADLINE_NAMESPACE": pool.namespace,
        "LOADLINE_SERVICE": pool.service,
        "LOADLINE_POOL": pool.name,
    }


def _mounts(one: Description, source: Source) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "home", "mountPath": HOME},
        *([worker_channels.mount()] if one.defaults.agent_url else []),
    ]
    if source.volume is None:
        return mounts
    return [*mounts, {"name": source.volume["name"], "mountPath": source.directory, "readOnly": True}]


def _finished(spec: Any, pool: Pool, *, source: Source, port: Manifest | None) -> Any:
    """The pod's spec with what depends on all of its parts; what makes no pod is left as it is.

    A template may hold anything, and the API server says best what is wrong with it.
    """
    engine = container_of(spec, ENGINE_CONTAINER)
    if engine is None:
        return spec
    offline = source.hub is not None and pool.engine.loads is not None
    settled = {**engine, "env": _settled(engine.get("env"), pool.templates, offline=offline)}
    if source.hub is not None and not _is_offline(settled["env"]):
        settled["volumeMounts"] = _writable(engine.get("volumeMounts"), source)
    if port is not None:
        settled = named_ports.kept(settled, [port], containers=spec["containers"])
    finished = {**spec, "containers": [settled if one is engine else one for one in spec["containers"]]}
    if source.hub is None:
        return finished
    fetcher = without_removed_of(_fetcher(engine, pool, source=source), pool.templates)
    return {**finished, "initContainers": _in_order(fetcher, spec.get("initContainers"))}


def _in_order(fetcher: Manifest, theirs: Any) -> Any:
    """The fetch before what else runs first, but after sidecars, by which alone it may reach the Hub.

    A sidecar that is listed after it stays there.
    """
    if not theirs:
        return [fetcher]
    laid = lay_over({"spec": {"first": [fetcher]}}, {"spec": {"first": theirs}})["spec"]["first"]
    if not is_named(theirs):
        return laid
    before = [*takewhile(lambda one: one.get("name") != FETCHER, theirs)]
    sidecars = [one for one in before if one.get("restartPolicy") == "Always"]
    return [*sidecars, *(one for one in laid if one not in sidecars)]


def _settled(environment: Any, templates: tuple[Mapping[str, Any], ...], *, offline: bool) -> Any:
    """The engine's environment: plugins with ours, and no way to the Hub once all that it loads is there."""
    if environment and not is_named(environment):
        return environment
    settled = [_with_plugin(one) if one.get("name") == PLUGINS else one for one in environment or ()]
    if offline and all(one.get("name") != OFFLINE for one in settled):
        settled += without_removed_of(_offline(), templates).get("env", [])
    return settled


def _offline() -> Manifest:
    """What the engine's container gets once the model is there, unless somebody wants it otherwise."""
    return {"name": ENGINE_CONTAINER, "env": [{"name": OFFLINE, "value": "1"}]}


def _is_offline(environment: Any) -> bool:
    """Whether the engine asks the Hub for nothing; what comes from elsewhere is taken for a yes."""
    if not is_named(environment):
        return False
    told = [one for one in environment if one.get("name") == OFFLINE]
    return any("valueFrom" in one or str(one.get("value")).upper() in TRUE for one in told)


def _writable(mounts: Any, source: Source) -> Any:
    """The engine's mounts, of which it may write to that of the Hub's cache."""
    if not is_named(mounts):
        return mounts
    ours = {"name": source.volume["name"] if source.volume else "", "mountPath": source.directory}
    return [ours if one == {**ours, "readOnly": True} else one for one in mounts]


def _with_plugin(variable: Manifest) -> Manifest:
    value = variable.get("value", "")
    if "valueFrom" in variable or not isinstance(value, str):
        return variable
    chosen = [name for name in value.split(",") if name not in ("", PLUGIN)]
    return {**variable, "value": ",".join([*chosen, PLUGIN])}


def _fetcher(engine: Manifest, pool: Pool, *, source: Source) -> Manifest:
    """The container that fetches: the engine's eyes, but no GPU, and the cache to write to."""
    assert source.hub is not None, "what is there already is not fetched"
    alike = {key: engine[key] for key in ALIKE if key in engine}
    if is_named(environment := alike.get("env")):
        alike["env"] = [PLAINLY, *(one for one in environment if one["name"] != PLAINLY["name"])]
    mounts = engine.get("volumeMounts")
    own = (source.directory, worker_channels.DIRECTORY)
    others = [one for one in mounts if one.get("mountPath") not in own] if is_named(mounts) else []
    cache = {"name": source.volume["name"] if source.volume else "", "mountPath": source.directory}
    return {
        "name": FETCHER,
        **alike,
        "command": fetching((source.hub, *(pool.engine.loads or ()))),
        "resources": _without_devices(engine.get("resources")),
        "volumeMounts": [*others, cache],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _without_devices(resources: Any) -> Manifest:
    kinds = resources.items() if isinstance(resources, Mapping) else ()
    kept = {
        kind: {name: amount for name, amount in amounts.items() if name in COMMON}
        for kind, amounts in kinds
        if isinstance(amounts, Mapping)
    }
    return {kind: amounts for kind, amounts in kept.items() if amounts}
