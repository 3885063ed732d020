"""
Makes one service of ours be as its spec says: observe, plan, apply, and tell.

What a service becomes is applied in order and stops at the first refusal, which becomes
its status; nothing obsolete is removed before all of the new is accepted. What was
written is remembered as the API server answered, so that the echo of a write wakes
nobody.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from loadline_api.api_errors import Forbidden, Invalid, NotFound, Refused
from loadline_api.inference_services import InferenceService
from loadline_operator.contexts import Context
from loadline_operator.kube.kinds import INFERENCE_POOLS, POD_MONITORS, Key, Kind, Manifest
from loadline_operator.kube.optional_kinds import OptionalKinds
from loadline_operator.kube.refusals import Misfits
from loadline_operator.policies.documents import PolicyIndex
from loadline_operator.services.facts.index import ServiceIndex
from loadline_operator.services.facts.object_states import (
    KnownObjects,
    ObjectState,
    Ref,
    Signature,
    object_state,
)
from loadline_operator.services.facts.owned_objects import OwnedObject
from loadline_operator.services.objects import manifests
from loadline_operator.services.objects.count_notes import count_notes
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import Description, describe
from loadline_operator.services.objects.manifests import OPTIONAL_KINDS, Wanted
from loadline_operator.services.objects.pod_hashes import stays
from loadline_operator.services.objects.template_notes import template_notes
from loadline_operator.services.plan import (
    Changes,
    Desired,
    Observed,
    plan,
    pod_makers,
    refusal,
    unread,
    without_rivals,
)
from loadline_operator.services.pod_refusals import pod_refusal
from loadline_operator.services.policy_choices import policies

EXTRAS = frozenset({POD_MONITORS, INFERENCE_POOLS})
"""Objects for other projects, without which a service serves as well."""

GOING = "because it is being terminated"
"""The API server's words where a namespace is being deleted: the service goes too."""


class ManagedServices:
    """Keeps services whose pods are ours."""

    def __init__(
        self,
        context: Context,
        facts: ServiceIndex,
        *,
        answered: Callable[[Kind, Manifest], None],
        optional_kinds: OptionalKinds,
        defaults: Defaults,
        policy_index: PolicyIndex,
    ) -> None:
        self._context, self._facts, self._optional_kinds = context, facts, optional_kinds
        self._answered = answered
        self._defaults, self._policy_index = defaults, policy_index
        self._settled: dict[Key, dict[Ref, Signature]] = {}
        self._misfits = Misfits()

    async def keep(self, service: InferenceService) -> tuple[Changes, list[str]]:
        """Bring one service up to date; the changes, and what was done in words."""
        desired, observed = await self._observe(describe(service, self._defaults))
        changes = plan(desired, observed, now=self._context.clock())
        if not (changes.apply or changes.delete):
            return changes, []
        return await self._apply(desired, observed, changes)

    def forget(self, key: Key) -> None:
        """The service is gone."""
        self._settled.pop(key, None)
        self._misfits.forget(key)

    async def _observe(self, description: Description) -> tuple[Desired, Observed]:
        """What the service is to be where others have a say in it, and what there is of it."""
        key, offered = description.key, self._optional_kinds.offered
        owned_objects = self._facts.owned_by(key)
        autoscalers = tuple(self._facts.autoscalers.of(key.namespace).values())
        made = manifests.wanted(description, offered=offered)
        wanted, rivals = without_rivals(made, owned_objects, autoscalers)
        desired = Desired(
            description=description,
            wanted=await self._with_pods_that_stay(description.service, wanted, owned_objects),
            obstacle=manifests.obstacle(description, offered),
            notes=(*count_notes(description), *template_notes(description)),
        )
        known = KnownObjects(owned_objects=owned_objects, settled=self._settled.get(key, {}))
        observed = Observed(
            rivals=rivals,
            known=await self._read(desired, known),
            pods=tuple(self._facts.pods.of(key).values()),
            autoscalers=autoscalers,
            seen=self._facts.reports_of(key),
            policies=policies(description.service, self._policy_index),
        )
        return desired, await self._with_refused_pods(description, observed)

    async def _with_refused_pods(self, description: Description, observed: Observed) -> Observed:
        """What was observed, with what Events say against pods that aren't made."""
        makers = pod_makers(description, observed)
        applier = self._context.applier
        found = await asyncio.gather(*(pod_refusal(applier, (one,)) for one in makers.values()))
        refused = {ref: fault for ref, fault in zip(makers, found, strict=True) if fault is not None}
        return replace(observed, refused_pods=refused)

    async def _with_pods_that_stay(
        self, service: InferenceService, wanted: tuple[Wanted, ...], owned_objects: Mapping[Ref, OwnedObject]
    ) -> tuple[Wanted, ...]:
        """The same, but for pods that another version of the operator made of the same request."""
        staying = (self._staying(service, one, owned_objects.get(Ref.of(one))) for one in wanted)
        return tuple(await asyncio.gather(*staying))

    async def _staying(self, service: InferenceService, one: Wanted, there: OwnedObject | None) -> Wanted:
        pod_hash = manifests.pod_hash_of(one.manifest)
        if pod_hash is None or there is None or not there.is_of(service.metadata.uid):
            return one
        if not stays(pod_hash, there.pod_hash, service=service):
            return one
        found = await self._context.applier.get(one.kind, one.key)
        return manifests.with_pods_of(one, found) if found is not None else one

    async def _read(self, desired: Desired, known: KnownObjects) -> KnownObjects:
        """Read what facts can't tell, and settle what turns out to be as wanted."""
        refs, description = unread(desired, known), desired.description
        if not refs:
            return known
        get = self._context.applier.get
        found = await asyncio.gather(*(get(ref.kind, ref.key) for ref in refs))
        read = dict(zip(refs, found, strict=True))
        known = replace(known, read=read)
        for one in desired.wanted:
            there = read.get(Ref.of(one))
            if there is not None and object_state(description.uid, one, known=known) is ObjectState.HELD:
                self._settle(description.key, one, Signature.of(one, there))
        return known

    async def _apply(
        self, desired: Desired, observed: Observed, changes: Changes
    ) -> tuple[Changes, list[str]]:
        key = desired.description.key
        did: list[str] = []
        for one in changes.apply:
            try:
                await self._apply_one(key, one)
            except Refused as error:
                if self._is_going(one.kind, error):
                    return Changes(), did
                said = self._misfits.words(key, one.manifest, str(error))
                observed = _with_refusal(observed, one, said=said)
                if observed.refusal is not None:
                    return plan(desired, observed, now=self._context.clock()), did
            else:
                did.append(f"applied {Ref.of(one)}")
        for ref, uid in changes.delete:
            await self._context.applier.delete(ref.kind, ref.key, uid=uid)
            did.append(f"deleted {ref}")
        if observed.remarks:
            changes = plan(desired, observed, now=self._context.clock())
        return changes, did

    async def _apply_one(self, key: Key, one: Wanted) -> None:
        made = await self._context.applier.apply(one.kind, one.manifest)
        self._answered(one.kind, made)
        self._settle(key, one, Signature.of(one, made))

    def _is_going(self, kind: Kind, error: Refused) -> bool:
        """Whether the namespace, or the API of a kind, goes just now, of which an event will tell."""
        if isinstance(error, Invalid | Forbidden):
            return GOING in str(error)
        if isinstance(error, NotFound) and (kind in OPTIONAL_KINDS or kind.namespaced):
            return True
        raise error

    def _settle(self, key: Key, one: Wanted, signature: Signature) -> None:
        self._settled.setdefault(key, {})[Ref.of(one)] = signature


def _with_refusal(observed: Observed, one: Wanted, *, said: str) -> Observed:
    """What was seen, with what the API server said against one object."""
    if one.kind in EXTRAS:
        return replace(observed, remarks=(*observed.remarks, f"{Ref.of(one)} was refused: {said}"))
    return replace(observed, refusal=refusal(Ref.of(one), said))
