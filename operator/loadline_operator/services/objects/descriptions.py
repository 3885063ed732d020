"""
What a service is, worked out once: its groups of pods, their names and labels, where they answer.

It follows from the spec, the templates, the arguments and the cluster's defaults, and from
nothing that the cluster holds. Whatever is made or said of a service reads it here: probes,
the Service in front, routers, monitors, budgets, the transfer of KV, the plan and the
status. So none of them can mean another name, port or label than the rest.

An attached service has no pods of ours, hence no pools; what its workload is, is read.
"""

from dataclasses import dataclass

from loadline_api.engines import Engine
from loadline_api.inference_services import InferenceService
from loadline_api.kv_cache import SCHEDULER, SCHEDULER_OPTION, AdmissionMode
from loadline_api.kv_retention import WORKER, WORKER_OPTION, Retention, RetentionMode
from loadline_api.names import ENGINE_PORT, MAIN_POOL, PREFILL_POOL, ROUTER_CONTAINER, ROUTER_POOL
from loadline_api.pools import Parallelism
from loadline_api.products import bounded_replicas
from loadline_operator.kube.kinds import Key
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.engine_traits import engine_traits, port_of
from loadline_operator.services.objects.model_sources import Source, source_of
from loadline_operator.services.objects.pools import (
    Group,
    Phase,
    Pool,
    Routers,
    prefill_replicas,
    selector_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One service with what follows from its spec; `source` and `pools` are only those of a model of ours."""

    service: InferenceService
    defaults: Defaults
    source: Source | None
    pools: tuple[Pool, ...]
    router: Routers | None

    @property
    def key(self) -> Key:
        """The service's key, which is that of the Service in front too."""
        return Key(self.service.metadata.namespace, self.service.metadata.name)

    @property
    def uid(self) -> str:
        """The service's uid."""
        return self.service.metadata.uid

    @property
    def groups(self) -> tuple[Group, ...]:
        """All its groups of pods, the routers last."""
        return (*self.pools, *((self.router,) if self.router is not None else ()))

    @property
    def front(self) -> Group:
        """Whom clients reach: the routers, or the pool that answers both phases."""
        return self.router if self.router is not None else self.pools[0]

    @property
    def engine_account(self) -> str:
        """The name of the engines' account; the service's own could be `default`."""
        return f"{self.key.name}-engine"

    @property
    def scale_selector(self) -> str | None:
        """The pods that `/scale` counts, one a replica of the main pool; None where it isn't ours."""
        return selector_text(self.pools[0].selector) if self.pools else None

    @property
    def scheme(self) -> str:
        """By which clients are answered; before routers it is theirs."""
        return self.pools[0].engine.scheme if self.router is None else "http"

    @property
    def url(self) -> str:
        """Where clients in the cluster send their requests."""
        return f"{self.scheme}://{self.key.name}.{self.key.namespace}.svc:{ENGINE_PORT}"

    @property
    def listens_at(self) -> str | None:
        """The address at which engines and routers listen; None where their own choice will do, IPv4.

        That of IPv6 takes requests by IPv4 too.
        """
        return "::" if self.defaults.ip_family == "IPv6" else None

    @property
    def admission_mode(self) -> AdmissionMode:
        """How far Loadline's scheduler may go in its engines; without agents nothing could be reported."""
        return self.service.spec.admission.mode if self.defaults.agent_url else AdmissionMode.OFF

    @property
    def retention(self) -> Retention:
        """How requests are bounded in its engines; without agents nothing could be reported."""
        return self.service.spec.retention if self.defaults.agent_url else Retention()

    @property
    def scheduled_by(self) -> tuple[str, str] | None:
        """The field that has its engines run Loadline's scheduler, and its value; None if none does."""
        modes = {"admission": self.admission_mode.value, "retention": self.retention.mode.value}
        off = AdmissionMode.OFF.value
        asked = ((f"kvCache.{part}.mode", mode) for part, mode in modes.items() if mode != off)
        return next(asked, None)

    @property
    def contradiction(self) -> str | None:
        """What templates want that can't be beside the rest of the spec, which the API server can't know."""
        return self._other_scheduler or self._never_bounded or self._unreachable

    @property
    def _other_scheduler(self) -> str | None:
        """A scheduler that a template names where the spec asks for Loadline's."""
        named = [one.engine.scheduler for one in self.pools if one.engine.scheduler not in ("", SCHEDULER)]
        if self.scheduled_by is None or not named:
            return None
        field, mode = self.scheduled_by
        return (
            f"the template sets {SCHEDULER_OPTION}={named[0]}, but {field} is {mode}, for which engines run"
            f" {SCHEDULER}: remove the argument from template, or set {field} to Off"
        )

    @property
    def _never_bounded(self) -> str | None:
        """A worker or an option in a template with which engines can't bound requests as the spec asks."""
        mode = self.retention.mode
        workers = [one.engine.worker for one in self.pools if one.engine.worker not in ("", WORKER)]
        words = [f"{WORKER_OPTION}={one}" for one in workers]
        words += [option for one in self.pools for option in one.engine.excluding]
        if mode is RetentionMode.OFF or not words:
            return None
        return (
            f"the template sets {words[0]}, but kvCache.retention.mode is {mode.value}, which excludes it:"
            " remove the argument from template, or set kvCache.retention.mode to Off"
        )

    @property
    def _unreachable(self) -> str | None:
        """Engines that templates put where routers don't reach them."""
        if self.router is None:
            return None
        secured = [pool.name for pool in self.pools if pool.engine.tls]
        if secured:
            return (
                f"the template makes the engines of pool {secured[0]} serve HTTPS, but routers connect to"
                " engines by HTTP: remove router, or terminate TLS before the router"
            )
        ports = sorted({pool.engine.port for pool in self.pools})
        if len(ports) > 1:
            return (
                f"templates make engines listen on port {ports[0]} and on {ports[1]}, but routers connect to"
                " all engines on one port: set the same port in all templates"
            )
        return None


def describe(service: InferenceService, defaults: Defaults) -> Description:
    """All that follows from a service and the cluster's defaults."""
    model = service.spec.model
    return Description(
        service=service,
        defaults=defaults,
        source=source_of(model.uri, defaults) if model is not None else None,
        pools=_pools(service, defaults),
        router=_routers(service, defaults),
    )


def _pools(service: InferenceService, defaults: Defaults) -> tuple[Pool, ...]:
    """The service's pools of engines, the main one first; none for an attached workload."""
    spec, metadata = service.spec, service.metadata
    if spec.model is None:
        return ()
    spread, words = spec.parallelism or Parallelism(), (spec.engine or Engine()).arguments
    templates = tuple(filter(None, (defaults.engine_template, spec.template)))
    main = Pool(
        namespace=metadata.namespace,
        service=metadata.name,
        name=MAIN_POOL,
        phase=Phase.MIXED if spec.prefill is None else Phase.DECODE,
        replicas=bounded_replicas(spec.replicas, nodes=spread.nodes),
        asked=spec.replicas,
        parallelism=spread,
        engine=engine_traits(words, templates),
        templates=templates,
    )
    if spec.prefill is None:
        return (main,)
    own_spread = spec.prefill.parallelism or spread
    asked = prefill_replicas(spec.prefill, spec.replicas)
    templates = (*templates, *filter(None, (spec.prefill.template,)))
    prefill = Pool(
        namespace=metadata.namespace,
        service=metadata.name,
        name=PREFILL_POOL,
        phase=Phase.PREFILL,
        replicas=bounded_replicas(asked, nodes=own_spread.nodes),
        asked=asked,
        parallelism=own_spread,
        engine=engine_traits(words, templates),
        templates=templates,
    )
    return (main, prefill)


def _routers(service: InferenceService, defaults: Defaults) -> Routers | None:
    """The routers before the pools, if there are some."""
    spec, metadata = service.spec, service.metadata
    if spec.model is None or spec.router is None:
        return None
    templates = tuple(filter(None, (defaults.router_template, spec.router.template)))
    return Routers(
        namespace=metadata.namespace,
        service=metadata.name,
        name=ROUTER_POOL,
        replicas=spec.router.replicas,
        port=port_of(ROUTER_CONTAINER, templates),
        templates=templates,
    )
