"""Whose word the replicas of an attached service are, and which of them move its workload."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_api.names import OPERATOR_MANAGER
from loadline_api.quantities import MOST_REPLICAS
from loadline_operator.kube.kinds import Key, Manifest
from loadline_operator.services.facts.autoscalers import HPA_MANAGER
from loadline_operator.services.facts.foreign_workloads import FOREIGN_KINDS, ForeignWorkload
from loadline_operator.services.takeovers import (
    APPLY_MANAGER,
    LAST_APPLIED,
    Word,
    counted,
    is_wish,
    note,
    word,
)


def written(
    manager: str, operation: str = "Update", *, subresource: str = "", field: str = "f:replicas"
) -> Manifest:
    entry = {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {field: {}}}}
    return {**entry, "subresource": subresource} if subresource else entry


def by_scale(manager: str) -> Manifest:
    return written(manager, subresource="scale")


def raw(replicas: int, *entries: Manifest, last: object = None) -> Manifest:
    annotations = {LAST_APPLIED: last if isinstance(last, str) else json.dumps({"spec": last})}
    metadata = {"managedFields": list(entries), "annotations": annotations if last is not None else {}}
    return {"metadata": metadata, "spec": {"replicas": replicas}}


CREATED, POSTED, APPLIED = written("kubectl-create"), written(APPLY_MANAGER), written("argocd", "Apply")
STATUS = {"manager": OPERATOR_MANAGER, "operation": "Apply", "subresource": "status"}


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"metadata": {}, "spec": {}}, Word.UNOWNED),
        (raw(1), Word.UNOWNED),
        (raw(1, written("argocd", "Apply", field="f:slo")), Word.UNOWNED),
        (raw(1, POSTED, last={"slo": {}}), Word.DEFAULT),
        (raw(1, CREATED), Word.POSTED),
        (raw(1, CREATED, last="no json"), Word.POSTED),
        (raw(1, written("kubectl-patch"), last={}), Word.POSTED),
        (raw(8), Word.UNOWNED),
        (raw(9, last={"replicas": 1}), Word.UNOWNED),
        (raw(3, CREATED), Word.MANIFEST),
        (raw(0, CREATED), Word.MANIFEST),
        (raw(1, POSTED, last={"replicas": 1}), Word.MANIFEST),
        (raw(1, last={"replicas": 1}), Word.MANIFEST),
        (raw(1, APPLIED), Word.MANIFEST),
        (raw(8, APPLIED, by_scale(OPERATOR_MANAGER)), Word.MANIFEST),
        (raw(1, by_scale("kubectl")), Word.SCALED),
        (raw(5, by_scale("kubectl"), by_scale(HPA_MANAGER)), Word.SCALED),
        (raw(2, by_scale(HPA_MANAGER)), Word.HPA),
        (raw(8, by_scale(HPA_MANAGER), by_scale(OPERATOR_MANAGER)), Word.HPA),
        (raw(8, by_scale(OPERATOR_MANAGER), STATUS), Word.OPERATOR),
        (raw(8, by_scale(OPERATOR_MANAGER), last={"replicas": 1}), Word.OPERATOR),
    ],
)
def test_who_said_replicas_is_told_from_who_left_them_out(service: Manifest, said: Word) -> None:
    assert word(service) is said


def workload(uid: str = "old", asked: int | None = 8) -> ForeignWorkload:
    return ForeignWorkload(
        kind=FOREIGN_KINDS[0], key=Key("serving", "llm"), uid=uid, deleting=False, asked=asked
    )


def service(replicas: int = 1, *, noted: Manifest | None = None) -> InferenceService:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}
    status = {"workload": noted} if noted else {}
    metadata = {"name": "chat", "namespace": "serving"}
    return InferenceService.parse(
        {"metadata": metadata, "spec": {"workloadRef": ref, "replicas": replicas}, "status": status}
    )


FOUND: Manifest = {"uid": "old", "replicas": 8}
ASKED: Manifest = {"uid": "old"}
DECLARED: Manifest = {"uid": "old", "declared": True}
OTHER: Manifest = {"uid": "gone"}


@pytest.mark.parametrize(
    ("replicas", "noted", "said", "wish"),
    [
        (3, None, Word.MANIFEST, True),
        (1, None, Word.DEFAULT, False),
        (1, None, Word.POSTED, False),
        (1, None, Word.SCALED, True),
        (2, None, Word.HPA, False),
        (1, None, Word.UNOWNED, False),
        (3, None, Word.UNOWNED, True),
        (8, None, Word.OPERATOR, False),
        (8, FOUND, Word.UNOWNED, False),
        (1, FOUND, Word.UNOWNED, True),
        (1, FOUND, Word.POSTED, True),
        (9, FOUND, Word.HPA, True),
        (1, FOUND, Word.SCALED, True),
        (8, FOUND, Word.OPERATOR, False),
        (8, ASKED, Word.UNOWNED, True),
        (1, ASKED, Word.UNOWNED, True),
        (1, ASKED, Word.POSTED, True),
        (1, ASKED, Word.DEFAULT, False),
        (1, DECLARED, Word.UNOWNED, False),
        (1, DECLARED, Word.DEFAULT, False),
        (1, DECLARED, Word.POSTED, True),
        (5, DECLARED, Word.HPA, True),
        (9, OTHER, Word.HPA, False),
        (9, OTHER, Word.SCALED, False),
        (9, OTHER, Word.UNOWNED, False),
        (9, OTHER, Word.MANIFEST, True),
    ],
)
def test_which_values_are_wishes(replicas: int, noted: Manifest | None, said: Word, wish: bool) -> None:
    assert is_wish(service(replicas, noted=noted), workload(), said) is wish


def test_an_autoscaler_that_counted_from_the_default_asks_for_nothing() -> None:
    assert not is_wish(service(2), workload(), Word.UNOWNED, handed_over=True)


@pytest.mark.parametrize("noted", [None, FOUND])
def test_a_count_that_was_written_and_not_noted_before_a_crash_is_no_wish(noted: Manifest | None) -> None:
    assert not is_wish(service(5, noted=noted), workload(asked=5), Word.UNOWNED)


def test_once_asked_the_count_that_was_found_is_a_wish_too() -> None:
    """An autoscaler goes from 8 to 9 and back."""
    asked = note(service(9, noted=FOUND), workload(), Word.UNOWNED, wish=True)
    assert asked is not None
    assert is_wish(service(8, noted=asked.to_api()), workload(asked=9), Word.UNOWNED)


@pytest.mark.parametrize("said", [Word.HPA, Word.SCALED, Word.UNOWNED])
def test_while_somebody_else_scales_the_workload_its_count_is_told_instead_of_wishes(said: Word) -> None:
    one = service(3, noted=FOUND)
    assert is_wish(one, workload(), said)
    assert not is_wish(one, workload(), said, scaled_elsewhere=True)
    assert is_wish(one, workload(), said, scaled_elsewhere=True, handed_over=True), "two HPAs don't alternate"


def test_what_a_manifest_says_is_never_overwritten() -> None:
    assert is_wish(service(3, noted=OTHER), workload(), Word.MANIFEST, scaled_elsewhere=True)


def test_a_note_is_of_the_object_and_says_whether_somebody_asked() -> None:
    def noted(one: InferenceService, said: Word, *, wish: bool, **facts: Any) -> Manifest | None:
        found = note(one, workload(**facts), said, wish=wish)
        return found.to_api() if found is not None else None

    assert noted(service(), Word.UNOWNED, wish=False) == {"uid": "old", "replicas": 8}
    assert noted(service(noted=FOUND), Word.UNOWNED, wish=False, asked=5) == {"uid": "old", "replicas": 5}
    assert noted(service(noted=FOUND), Word.HPA, wish=True) == ASKED
    assert noted(service(noted=OTHER), Word.MANIFEST, wish=True) == DECLARED
    assert noted(service(noted=FOUND), Word.UNOWNED, wish=False, asked=None) == FOUND
    assert noted(service(), Word.UNOWNED, wish=False, asked=None) is None


def test_a_count_that_a_service_cannot_have_is_told_as_its_most() -> None:
    assert counted(workload(asked=50_000)) == MOST_REPLICAS


@given(st.sampled_from(Word), st.sampled_from([None, FOUND, ASKED, OTHER]), st.integers(0, 9), st.booleans())
def test_the_operators_own_word_is_never_a_wish(
    said: Word, noted: Manifest | None, replicas: int, elsewhere: bool
) -> None:
    one = service(replicas, noted=noted)
    assert not is_wish(one, workload(), Word.OPERATOR, scaled_elsewhere=elsewhere)
    if is_wish(one, workload(), said, scaled_elsewhere=elsewhere) and said is not Word.MANIFEST:
        assert not elsewhere
