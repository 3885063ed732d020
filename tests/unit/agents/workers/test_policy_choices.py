"""The agent acts by the policy that the operator reports, and keeps it over edits, deletions and restarts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadline_agent.workers import kept_policies
from loadline_agent.workers.policy_choices import Documents, InForce, chosen, policy_in
from loadline_api.inference_services import InferenceService
from loadline_api.names import POLICY_LABEL, default_policy
from loadline_operator.kube.kinds import Key
from loadline_operator.policies.documents import PolicyIndex, read
from loadline_operator.services import policy_choices
from loadline_policies.documents import SCHEMA, built_in
from loadline_policies.errors import InvalidPolicy
from loadline_policies.loops import Loop

HOME, SYSTEM = "team-a", "loadline-system"
LOOP = Loop.KV
DEFAULT = default_policy(LOOP)
NAMES = (DEFAULT, "mine")
NONE = Documents(good={}, refused={})


def config_map(namespace: str, name: str, text: str, *, loop: str = LOOP) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {POLICY_LABEL: loop}}
    return {"metadata": metadata, "data": {"policy.yaml": text}}


def document(loop: Loop = LOOP, *, comment: str = "") -> str:
    return f"# {comment}\nschema: {SCHEMA}\nloop: {loop}\npolicy: {built_in(loop).policy.name}\n"


def policy(namespace: str, name: str, *, comment: str = "") -> InForce:
    return policy_in(config_map(namespace, name, document(comment=comment)))


def good(*policies: InForce, refused: dict[str, str] | None = None) -> Documents:
    return Documents(good={one.key: one for one in policies}, refused=refused or {})


class Cluster:
    """ConfigMaps that are edited, as the operator and the agent follow them, and one service."""

    def __init__(self, *, own: bool) -> None:
        self.places = (HOME, SYSTEM) if own else (SYSTEM,)
        self.told: policy_choices.Policies | None = None
        self.before: InForce | None = None
        self._kinds: dict[Key, str] = {}
        self._version = 0
        self.restart()

    def restart(self) -> None:
        """Both are restarted: they read all documents anew, and know the last good ones no more."""
        self.index = PolicyIndex(system_namespace=SYSTEM, others=self.places[:-1])
        self.good: dict[str, InForce] = {}
        self.refused: dict[str, str] = {}
        for key, kind in self._kinds.items():
            self._write(key, kind)

    def edit(self, key: Key, kind: str) -> None:
        """Write a document, or a broken one, or delete it."""
        if kind != "deleted":
            self._kinds[key] = kind
            self._write(key, kind)
            return
        self._kinds.pop(key, None)
        self.index.table(key.namespace).drop(key, uid=str(key))
        self.good.pop(str(key), None)
        self.refused.pop(str(key), None)

    def _write(self, key: Key, kind: str) -> None:
        table = self.index.table(key.namespace)
        thing = config_map(*key, document() if kind == "good" else "policy: none\n")
        self._version += 1
        table.put(key, uid=str(key), version=str(self._version), fact=read(thing, table.get(key)))
        try:
            self.good[str(key)] = policy_in(thing)
            self.refused.pop(str(key), None)
        except InvalidPolicy as error:
            self.refused[str(key)] = str(error)

    def operators(self, name: str | None) -> str:
        """What the operator reports to be in force for a service that names this policy."""
        told = [one.to_api() for one in self.told.in_force] if self.told is not None else []
        service = InferenceService.parse(
            {
                "metadata": {"name": "chat", "namespace": HOME, "uid": "u", "generation": 1},
                "spec": {
                    "model": {"uri": "hf://org/llm"},
                    "kvCache": {"policyRef": {"name": name}} if name is not None else {},
                },
                "status": {"policies": told},
            }
        )
        self.told = policy_choices.policies(service, self.index)
        (found,) = self.told.in_force
        return f"{found.namespace}/{found.name}" if found.name is not None else ""

    def agents(self, name: str | None) -> str:
        """What the agent acts by."""
        documents = Documents(good=self.good, refused=self.refused)
        self.before = chosen(LOOP, name, places=self.places, documents=documents, before=self.before)
        return self.before.key


@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from([HOME, SYSTEM]),
            st.sampled_from(NAMES),
            st.sampled_from(["good", "broken", "deleted", "restart"]),
            st.sampled_from([None, "mine"]),
        ),
        max_size=20,
    ),
)
@example(
    True,
    [
        (HOME, "mine", "good", "mine"),
        (SYSTEM, "mine", "good", "mine"),
        (HOME, "mine", "broken", "mine"),
        (HOME, "mine", "restart", "mine"),
    ],
)
def test_the_agent_acts_by_what_the_operator_reports(
    own: bool, edits: list[tuple[str, str, str, str | None]]
) -> None:
    cluster = Cluster(own=own)
    for namespace, name, kind, named in edits:
        if kind == "restart":
            cluster.restart()
        elif namespace in cluster.places:
            cluster.edit(Key(namespace, name), kind)
        assert cluster.agents(named) == cluster.operators(named)


def test_what_was_in_force_follows_its_document_while_the_service_names_none_that_there_is() -> None:
    old, new = (policy(SYSTEM, "mine", comment=comment) for comment in ("old", "new"))
    kept = chosen(LOOP, "misspelt", places=(SYSTEM,), documents=good(new), before=old)
    assert (kept.key, kept.text) == (f"{SYSTEM}/mine", new.text)


@pytest.mark.parametrize(
    ("name", "documents"),
    [
        ("mine", NONE),
        ("mine", Documents(good={}, refused={f"{SYSTEM}/mine": "broken"})),
        (None, Documents(good={}, refused={f"{SYSTEM}/{DEFAULT}": "broken"})),
    ],
    ids=["gone", "broken", "a-broken-default"],
)
def test_a_mistake_takes_nothing_out_of_force(name: str | None, documents: Documents) -> None:
    before = policy(SYSTEM, "mine")
    assert chosen(LOOP, name, places=(SYSTEM,), documents=documents, before=before) == before


def test_a_default_that_is_deleted_leaves_what_is_built_in() -> None:
    before = policy(SYSTEM, DEFAULT)
    found = chosen(LOOP, None, places=(SYSTEM,), documents=NONE, before=before)
    assert (found.key, found.document) == ("", built_in(LOOP))


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ({"metadata": {"name": "a", "namespace": "b"}, "data": None}, "put the document under the key"),
        (config_map(SYSTEM, "a", document(), loop="power"), "to one of experts, kv, kv-retention"),
        (config_map(SYSTEM, "a", document(Loop.EXPERTS)), "change the ConfigMap's label"),
        (config_map(SYSTEM, "a", "[" * 1000), "levels"),
    ],
)
def test_a_config_map_that_holds_no_policy_of_its_loop_is_refused(
    thing: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidPolicy, match=sentence):
        policy_in(thing)


def test_what_was_in_force_is_there_after_a_restart(tmp_path: Path) -> None:
    policies = {LOOP: policy(SYSTEM, "mine", comment="last"), Loop.EXPERTS: InForce(built_in(Loop.EXPERTS))}
    kept_policies.keep(tmp_path, {"team-a/chat": policies})
    assert kept_policies.recall(tmp_path) == {"team-a/chat": policies}
    assert (tmp_path / kept_policies.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"services": 1}',
        '{"services": {"a/b": {"kv": {"key": "c/d", "text": "policy: gone"}}}}',
        '{"services": {"a/b": {"power": {"key": "", "text": ""}}}}',
        '{"services": {"a/b": {"later": {"key": "c/d", "text": ""}}}, "later": 1}',
    ],
)
def test_a_file_that_this_version_cannot_use_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / kept_policies.FILE).write_text(text)
    assert [policies for policies in kept_policies.recall(tmp_path).values() if policies] == []
