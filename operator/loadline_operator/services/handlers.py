"""
The controller of InferenceServices: every event of a service or of what it owns leads
to one `reconcile`, which reads everything anew, plans, and applies the difference.

Three objects of one service are read in a few milliseconds, so nothing of them is
remembered but their names. What the API server words differently than we did (an amount,
a sidecar that somebody injects) is applied once and then known to be settled.
"""

import asyncio
from functools import partial

import structlog

from loadline_api.inference_services import InferenceService
from loadline_api.names import SERVICE_LABEL
from loadline_operator.apply import holds
from loadline_operator.contexts import Context
from loadline_operator.errors import ApiRefused
from loadline_operator.kinds import DEPLOYMENTS, INFERENCE_SERVICES, SERVICES, Key, Kind, Manifest
from loadline_operator.services import workloads
from loadline_operator.services.plan import Changes, Observed, Signature, plan, signature
from loadline_operator.tables import Table
from loadline_operator.watches import Watch
from loadline_operator.worklists import Worklist
from loadline_policies.errors import InvalidInput

TEMPLATE_FAULTS = frozenset({400, 403, 422})
"""Statuses by which the API server refuses what a manifest says."""

log = structlog.get_logger("loadline.operator")


class Services:
    """InferenceServices, their Deployments and their Services."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.tables: dict[Kind, Table[None]] = {
            kind: Table() for kind in (INFERENCE_SERVICES, DEPLOYMENTS, SERVICES)
        }
        self.worklist = Worklist[Key]("services", self.reconcile, metrics=context.metrics)
        self._settled: dict[Key, frozenset[Signature]] = {}

    def watch(self, watch: Watch) -> None:
        """Have all events of the three kinds lead here."""
        for kind in self.tables:
            watch.of(kind, partial(self.see, kind))

    def see(self, kind: Kind, raw: Manifest, gone: bool) -> None:
        """An event: remember that the object is there, and look at its service soon."""
        key, metadata = Key.of(raw), raw["metadata"]
        if gone:
            self.tables[kind].drop(key, uid=metadata["uid"])
        else:
            version = metadata["resourceVersion"]
            self.tables[kind].put(key, uid=metadata["uid"], version=version, fact=None)
        owner = metadata.get("labels", {}).get(SERVICE_LABEL) if kind is not INFERENCE_SERVICES else key.name
        if owner:
            self.worklist.add(Key(key.namespace, owner))

    def wake(self) -> None:
        """Look at every service."""
        for key in sorted(self.tables[INFERENCE_SERVICES].uids()):
            self.worklist.add(key)

    async def reconcile(self, key: Key) -> None:
        """Make the cluster as the service says: read, plan, apply."""
        service = await self._read(key)
        if service is None:
            return
        observed = await self._observe(key)
        changes = plan(service, observed, now=self._context.clock())
        if changes:
            await self._apply(service, observed, changes)

    async def _read(self, key: Key) -> InferenceService | None:
        raw = await self._context.applier.get(INFERENCE_SERVICES, key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._settled.pop(key, None)
            return None
        try:
            return InferenceService.parse(raw)
        except InvalidInput as error:
            self._context.metrics.unreadable.labels(INFERENCE_SERVICES.kind).inc()
            log.warning(
                "an object can't be read", kind=INFERENCE_SERVICES.kind, object=str(key), error=str(error)
            )
            return None

    async def _observe(self, key: Key) -> Observed:
        get = self._context.applier.get
        deployment, front = await asyncio.gather(get(DEPLOYMENTS, key), get(SERVICES, key))
        return Observed(deployment=deployment, front=front, settled=self._settled.get(key, frozenset()))

    async def _apply(self, service: InferenceService, observed: Observed, changes: Changes) -> None:
        """Apply what owns pods first; a refusal becomes the status."""
        key = Key(service.metadata.namespace, service.metadata.name)
        did: list[str] = []
        try:
            for kind, manifest in ((DEPLOYMENTS, changes.deployment), (SERVICES, changes.front)):
                if manifest is not None:
                    await self._apply_one(kind, key, manifest)
                    did.append(f"applied {kind.kind}")
        except ApiRefused as error:
            if error.code not in TEMPLATE_FAULTS:
                raise
            refused = Observed(deployment=observed.deployment, front=observed.front, refusal=str(error))
            changes = plan(service, refused, now=self._context.clock())
        if changes.status is not None:
            await self._context.applier.apply_status(INFERENCE_SERVICES, changes.status)
            did.append("applied status")
        self._tell(key, service, did, changes)

    async def _apply_one(self, kind: Kind, key: Key, manifest: Manifest) -> None:
        made = await self._context.applier.apply(kind, manifest)
        if not holds(manifest, made):
            known = self._settled.get(key, frozenset())
            digest = manifest["metadata"]["annotations"][workloads.APPLIED]
            others = frozenset(one for one in known if one[0] != digest)
            self._settled[key] = others | {signature(manifest, made)}

    def _tell(self, key: Key, service: InferenceService, did: list[str], changes: Changes) -> None:
        if not did:
            return
        self._context.metrics.writes.labels("services").inc(len(did))
        conditions = (changes.status or {}).get("status", {}).get("conditions", [{}])
        reason = conditions[0].get("message", "the spec has changed")
        saw = {"generation": service.metadata.generation, "replicas": service.spec.replicas}
        self._context.journal.write(INFERENCE_SERVICES.kind, str(key), saw=saw, did=did, reason=reason)
        log.info("a service was brought up to date", object=str(key), did=did, reason=reason)
