"""Where a service finds its policies, and that nothing wrong takes one out of force."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService, PolicyInForce
from loadline_operator.kube.kinds import Key, Manifest
from loadline_operator.policies.documents import PolicyIndex, read
from loadline_operator.services.policy_choices import Policies, policies
from loadline_policies.documents import SCHEMA, built_in
from loadline_policies.loops import OF_SERVICES, Loop

HOME, SYSTEM = "team-a", "loadline-system"
BROKEN = "settings: {x: 1}\n"


def service(before: Policies | None = None, **spec: Any) -> InferenceService:
    """A service of team-a whose status tells what was in force before."""
    return InferenceService.parse(
        {
            "metadata": {"name": "chat", "namespace": HOME, "uid": "u", "generation": 1},
            "spec": {"model": {"uri": "hf://org/llm"}, **spec},
            "status": {"policies": [one.to_api() for one in before.in_force] if before else []},
        }
    )


def document(loop: Loop, extra: str = "") -> str:
    return f"schema: {SCHEMA}\nloop: {loop}\npolicy: {built_in(loop).policy.name}\n{extra}"


class Indexed:
    """The documents of both namespaces, edited one after the other."""

    def __init__(self, *, own: bool = True) -> None:
        self.policy_index = PolicyIndex(system_namespace=SYSTEM, others=(HOME,) if own else ())
        self._version = 0

    def put(self, namespace: str, name: str, *, loop: Loop, extra: str = "") -> "Indexed":
        key, table = Key(namespace, name), self.policy_index.table(namespace)
        labels = {"loadline.dev/policy": loop.value}
        raw: Manifest = {"metadata": {"labels": labels}, "data": {"policy.yaml": document(loop, extra)}}
        self._version += 1
        fact = read(raw, table.get(key))
        table.put(key, uid=str(key), version=str(self._version), fact=fact)
        return self

    def remove(self, namespace: str, name: str) -> "Indexed":
        self.policy_index.table(namespace).drop(Key(namespace, name), uid=str(Key(namespace, name)))
        return self


def of(found: Policies, loop: Loop = Loop.KV) -> PolicyInForce:
    return next(one for one in found.in_force if one.loop == loop)


def place(found: Policies, loop: Loop = Loop.KV) -> str:
    one = of(found, loop)
    return f"{one.namespace}/{one.name}" if one.name is not None else "built in"


def said(found: Policies) -> tuple[bool | None, str]:
    assert found.valid is not None
    return found.valid.so, found.valid.reason.value


def test_a_service_that_asks_for_no_loop_has_no_policy_and_no_condition() -> None:
    assert policies(service(), Indexed().policy_index) == Policies()


def test_without_any_document_what_is_built_in_is_in_force() -> None:
    found = policies(service(kvCache={}, experts={}), Indexed().policy_index)
    assert [one.loop for one in found.in_force] == ["experts", "kv"]
    assert of(found).hash == built_in(Loop.KV).hash
    assert said(found) == (True, "BuiltIn")


@pytest.mark.parametrize(
    ("loop", "spec"),
    [
        (Loop.EXPERTS, {"experts": {"policyRef": {"name": "mine"}}}),
        (Loop.KV, {"kvCache": {"policyRef": {"name": "mine"}}}),
        (Loop.PHASES, {"prefill": {"replicas": 1, "policyRef": {"name": "mine"}}, "router": {}}),
        (Loop.SIZING, {"scaling": {"maxReplicas": 2, "policyRef": {"name": "mine"}}}),
    ],
)
def test_each_loop_over_services_has_a_part_that_names_its_policy(loop: Loop, spec: dict[str, Any]) -> None:
    assert loop in OF_SERVICES
    found = policies(service(**spec), Indexed().put(SYSTEM, "mine", loop=loop).policy_index)
    assert place(found, loop) == "loadline-system/mine"
    assert said(found) == (True, "Parsed")


@pytest.mark.parametrize("named", [None, "mine"])
def test_the_services_own_namespace_comes_before_the_systems(named: str | None) -> None:
    name = named or "kv-default"
    asks = service(kvCache={"policyRef": {"name": named}} if named else {})
    both = Indexed().put(SYSTEM, name, loop=Loop.KV).put(HOME, name, loop=Loop.KV)
    assert place(policies(asks, both.policy_index)) == f"team-a/{name}"
    assert place(policies(asks, both.remove(HOME, name).policy_index)) == f"loadline-system/{name}"


def test_a_namespace_that_may_not_have_policies_has_none() -> None:
    policy_index = Indexed(own=False).put(HOME, "kv-default", loop=Loop.KV).policy_index
    assert place(policies(service(kvCache={}), policy_index)) == "built in"


def test_a_document_of_another_loop_is_not_the_one_that_is_named() -> None:
    asks = service(kvCache={"policyRef": {"name": "mine"}})
    found = policies(asks, Indexed().put(SYSTEM, "mine", loop=Loop.EXPERTS).policy_index)
    assert said(found) == (False, "PolicyMissing")
    assert found.valid is not None
    assert (
        "policyRef.name is mine: no ConfigMap of that name labelled loadline.dev/policy: kv is in team-a or "
        in (found.valid.text)
    )


def test_a_broken_edit_keeps_the_last_good_hash_and_says_so() -> None:
    indexed = Indexed().put(SYSTEM, "kv-default", loop=Loop.KV)
    before = policies(service(kvCache={}), indexed.policy_index)
    found = policies(
        service(before, kvCache={}),
        indexed.put(SYSTEM, "kv-default", loop=Loop.KV, extra=BROKEN).policy_index,
    )
    assert found.in_force == before.in_force
    assert said(found) == (False, "PolicyInvalid")
    assert found.valid is not None
    assert "settings.x is 1: remove it" in found.valid.text


def test_after_a_restart_the_status_tells_what_a_broken_document_was() -> None:
    before = policies(service(kvCache={}), Indexed().put(HOME, "kv-default", loop=Loop.KV).policy_index)
    restarted = (
        Indexed().put(HOME, "kv-default", loop=Loop.KV, extra=BROKEN).put(SYSTEM, "kv-default", loop=Loop.KV)
    )
    found = policies(service(before, kvCache={}), restarted.policy_index)
    assert found.in_force == before.in_force
    assert said(found) == (False, "PolicyInvalid")


def test_a_default_that_never_was_good_is_passed_over_for_the_next_place() -> None:
    policy_index = (
        Indexed()
        .put(HOME, "kv-default", loop=Loop.KV, extra=BROKEN)
        .put(SYSTEM, "kv-default", loop=Loop.KV)
        .policy_index
    )
    found = policies(service(kvCache={}), policy_index)
    assert place(found) == "loadline-system/kv-default"
    assert said(found) == (False, "PolicyInvalid")


def test_a_name_that_leads_nowhere_keeps_what_was_in_force() -> None:
    indexed = Indexed().put(SYSTEM, "mine", loop=Loop.KV)
    before = policies(service(kvCache={"policyRef": {"name": "mine"}}), indexed.policy_index)
    mistyped = service(before, kvCache={"policyRef": {"name": "mien"}})
    found = policies(mistyped, indexed.policy_index)
    assert place(found) == "loadline-system/mine"
    assert said(found) == (False, "PolicyMissing")
    assert place(policies(mistyped, indexed.remove(SYSTEM, "mine").policy_index)) == "loadline-system/mine"


def test_a_default_that_is_deleted_gives_way_to_the_next() -> None:
    indexed = Indexed().put(SYSTEM, "kv-default", loop=Loop.KV)
    before = policies(service(kvCache={}), indexed.policy_index)
    found = policies(service(before, kvCache={}), indexed.remove(SYSTEM, "kv-default").policy_index)
    assert place(found) == "built in"
    assert said(found) == (True, "BuiltIn")


EDITS = st.lists(
    st.tuples(
        st.sampled_from([HOME, SYSTEM]),
        st.sampled_from(["kv-default", "mine"]),
        st.sampled_from(["good", "broken", "gone"]),
    ),
    max_size=12,
)


@given(edits=EDITS, names=st.lists(st.sampled_from([None, "mine", "nowhere"]), min_size=1, max_size=4))
def test_whatever_is_edited_one_policy_is_in_force_and_planning_again_changes_nothing(
    edits: list[tuple[str, str, str]], names: list[str | None]
) -> None:
    indexed, found = Indexed(), Policies()
    for index, (namespace, name, what) in enumerate(edits):
        if what == "gone":
            indexed.remove(namespace, name)
        else:
            indexed.put(namespace, name, loop=Loop.KV, extra=BROKEN if what == "broken" else "")
        chosen = names[index % len(names)]
        spec = {"kvCache": {"policyRef": {"name": chosen}} if chosen else {}}
        found = policies(service(found, **spec), indexed.policy_index)
        assert len(found.in_force) == 1
        assert policies(service(found, **spec), indexed.policy_index) == found
