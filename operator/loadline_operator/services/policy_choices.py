"""
Which policy each loop goes by for one service, and whether what the service names is good.

A service asks for a loop by having a part for it in its spec. The part may name a
ConfigMap; else the loop's default is meant. It is looked for in the service's own
namespace, if that may have policies, then in the system namespace, and in none of them
the loop is what is built in. A document that can't be used, or a name that leads nowhere,
takes nothing out of force: what the status says to be in force stays, and PolicyValid
says what is wrong. A default that never was good is passed over for the next place.

Pure: documents come in (`policies.documents`), the status' list and one finding go out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from loadline_api.inference_services import InferenceService, PolicyInForce
from loadline_api.names import POLICY_LABEL, default_policy
from loadline_api.objectives import PolicyName
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import Key
from loadline_operator.policies.documents import Document, PolicyIndex
from loadline_policies.documents import built_in
from loadline_policies.loops import Loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies in force, one a loop that the service asks for, and the finding of PolicyValid.

    A service that asks for no loop has neither.
    """

    in_force: tuple[PolicyInForce, ...] = ()
    valid: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """What one loop goes by; `reason` and `faults` say why it isn't what was asked for."""

    policy: PolicyInForce
    reason: Reason | None = None
    faults: tuple[str, ...] = ()


def policies(service: InferenceService, policy_index: PolicyIndex) -> Policies:
    """The policy of each loop that the service asks for, and what is wrong with what it names."""
    before = {one.loop: one for one in service.status.policies}
    choices = [
        _choice(service, loop, chosen=chosen, policy_index=policy_index, before=before)
        for loop, chosen in service.spec.loops.items()
    ]
    if not choices:
        return Policies()
    return Policies(in_force=tuple(one.policy for one in choices), valid=_valid(choices))


def _choice(
    service: InferenceService,
    loop: Loop,
    *,
    chosen: PolicyName | None,
    policy_index: PolicyIndex,
    before: Mapping[str, PolicyInForce],
) -> _Choice:
    name = chosen.name if chosen is not None else default_policy(loop)
    places = policy_index.places(service.metadata.namespace)
    last, faults = before.get(loop), []
    for key in (Key(place, name) for place in places):
        document = policy_index.find(loop, key)
        if document is None:
            continue
        if document.fault is not None:
            faults.append(f"{name} in {key.namespace}: {document.fault}")
        policy = _of(loop, key, document=document, last=last)
        if policy is not None:
            return _Choice(
                policy=policy, reason=Reason.POLICY_INVALID if faults else None, faults=tuple(faults)
            )
    if not faults and chosen is None:
        return _Choice(policy=_built_in(loop))
    kept = _kept(loop, last, policy_index)
    if faults:
        return _Choice(policy=kept, reason=Reason.POLICY_INVALID, faults=tuple(faults))
    where = " or ".join(places)
    fault = (
        f"policyRef.name is {name}: no ConfigMap of that name labelled {POLICY_LABEL}: {loop} is in {where}"
    )
    return _Choice(policy=kept, reason=Reason.POLICY_MISSING, faults=(fault,))


def _of(loop: Loop, key: Key, *, document: Document, last: PolicyInForce | None) -> PolicyInForce | None:
    """The last good version of a document, as far as this operator or the one before has seen one."""
    if document.good_hash is not None:
        return PolicyInForce(
            loop=loop.value,
            policy=document.policy or "",
            name=key.name,
            namespace=key.namespace,
            hash=document.good_hash,
        )
    if last is not None and (last.namespace, last.name) == key:
        return last
    return None


def _kept(loop: Loop, last: PolicyInForce | None, policy_index: PolicyIndex) -> PolicyInForce:
    """What was in force, as its document says now, if it is still there."""
    if last is None or last.name is None or last.namespace is None:
        return _built_in(loop)
    key = Key(last.namespace, last.name)
    document = policy_index.find(loop, key)
    return (_of(loop, key, document=document, last=last) if document is not None else None) or last


def _built_in(loop: Loop) -> PolicyInForce:
    document = built_in(loop)
    return PolicyInForce(loop=loop.value, policy=document.policy.name, hash=document.hash)


def _valid(choices: list[_Choice]) -> Finding:
    bad = [one for one in choices if one.reason is not None]
    if not bad:
        made = any(one.policy.name is not None for one in choices)
        text = "; ".join(_told(one.policy) for one in choices)
        return Finding(so=True, reason=Reason.PARSED if made else Reason.BUILT_IN, text=text)
    text = "; ".join(
        f"{one.policy.loop}: {', '.join(one.faults)}; in force is {_told(one.policy, loop=False)}"
        for one in bad
    )
    return Finding(so=False, reason=bad[0].reason or Reason.POLICY_INVALID, text=text)


def _told(policy: PolicyInForce, *, loop: bool = True) -> str:
    whose = f"{policy.namespace}/{policy.name}, {policy.hash}" if policy.name is not None else "built in"
    return f"{f'{policy.loop}: ' if loop else ''}{policy.policy} ({whose})"
