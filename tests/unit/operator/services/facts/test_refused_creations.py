"""What keeps pods from being made is told alike at each attempt, and no longer than it is so."""

from collections.abc import Callable
from typing import Any

import pytest

from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Key, Manifest
from loadline_operator.services.facts.refused_creations import PodMaker, refused, refused_pods

QUOTA = "exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0"
NO_ACCOUNT = 'error looking up service account serving/ghost: serviceaccount "ghost" not found'


def maker(kind: str = "StatefulSet", **more: Any) -> PodMaker:
    return PodMaker(
        kind=kind, key=Key("serving", "wide"), uid="u", since="2026-01-01T12:00:00Z", **{"groups": 2, **more}
    )


def event(
    said: str,
    at: str = "12:00:05",
    *,
    about: str = "wide",
    kind: str = "StatefulSet",
    reason: str = "FailedCreate",
    **more: Any,
) -> Manifest:
    involved = {"kind": kind, "name": about, "namespace": "serving", "uid": "u"}
    return {
        "reason": reason,
        "message": said,
        "involvedObject": involved,
        "lastTimestamp": f"2026-01-01T{at}Z",
        **more,
    }


def tried(what: str, why: str) -> str:
    """What a StatefulSet's controller says of a pod that it couldn't make."""
    return f'Create Pod {what} in StatefulSet wide failed error: pods "{what}" is forbidden: {why}'


def made(what: str) -> str:
    return f"Create Pod {what} in StatefulSet wide successful"


def test_a_quota_against_a_stateful_set_is_told_by_its_name() -> None:
    found = refused(maker(), [event(tried("wide-0", QUOTA))])
    assert found is not None
    assert found.reason is Reason.QUOTA_EXCEEDED
    assert found.text == "ResourceQuota few allows pods=0 and a pod asks for pods=1: raise the quota"
    assert found.waits_for == "more of ResourceQuota few, which allows pods=0"


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (NO_ACCOUNT, 'serviceaccount "ghost" not found: create it, or correct serviceAccountName'),
        ('violates PodSecurity "restricted:latest": host namespaces', "violates PodSecurity"),
        ("failed quota: few: must specify cpu for: engine", "must specify cpu for: engine"),
    ],
)
def test_admission_is_told_in_its_own_words(why: str, words: str) -> None:
    found = refused(maker(), [event(tried("wide-0", why))])
    assert found is not None
    assert found.reason is Reason.TEMPLATE_REFUSED
    assert found.text.startswith("the API server refuses to create pods: ")
    assert found.text.endswith(words) or words in found.text
    assert "wide-0" not in found.text


def test_what_was_made_since_is_refused_no_more() -> None:
    before = event(tried("wide-0", QUOTA))
    after = event(made("wide-0"), "12:01:00", reason="SuccessfulCreate")
    assert refused(maker(), [before, after]) is None
    assert refused(maker(), [after, event(tried("wide-0", QUOTA), "12:02:00")]) is not None
    other = event(made("wide-1"), "12:01:00", reason="SuccessfulCreate")
    assert refused(maker(), [before, other]) is not None


def test_the_newest_refusal_is_the_one_that_holds() -> None:
    events = [event(tried("wide-0", QUOTA), "12:05:00"), event(tried("wide-0", NO_ACCOUNT), "12:06:00")]
    for order in (events, events[::-1]):
        found = refused(maker(), order)
        assert found is not None
        assert found.reason is Reason.TEMPLATE_REFUSED


def over(name: str, limit: int = 0) -> str:
    return f"exceeded quota: {name}, requested: pods=1, used: pods=0, limited: pods={limit}"


def test_of_several_quotas_the_one_that_was_named_first_is_told_at_each_attempt() -> None:
    """The API server looks at quotas in any order, and names the first that is exceeded."""
    texts, first = set(), {"bb": "12:00:01", "cc": "12:00:02", "aa": "12:02:00"}
    for known in range(1, 4):
        for last in list(first)[:known]:
            events = [
                event(
                    tried("wide-0", over(name)),
                    "12:10:00" if name == last else at,
                    metadata={"creationTimestamp": f"2026-01-01T{at}Z"},
                )
                for name, at in list(first.items())[:known]
            ]
            texts.add(str(refused(maker(), events)))
    assert len(texts) == 1
    assert "ResourceQuota bb allows pods=0" in texts.pop()


def test_a_quota_that_was_raised_is_told_by_its_new_limit_and_forgotten_in_time() -> None:
    old, new = event(tried("wide-0", over("aa"))), event(tried("wide-0", over("aa", 1)), "12:10:00")
    other = event(tried("wide-0", over("bb")), "12:29:00")
    assert "allows pods=1" in str(refused(maker(), [old, new]))
    assert "ResourceQuota aa allows pods=1" in str(refused(maker(), [old, new, other]))
    later = event(tried("wide-0", over("bb")), "12:31:00")
    assert "ResourceQuota bb" in str(refused(maker(), [old, new, later]))


def test_another_kind_of_refusal_is_told_at_once() -> None:
    events = [event(tried("wide-0", over("aa"))), event(tried("wide-0", NO_ACCOUNT), "12:01:00")]
    assert "ghost" in str(refused(maker(), events))


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_the_makers_own_words_are_left_out(case: Callable[[str], str]) -> None:
    said = tried("wide-0", NO_ACCOUNT)
    found = refused(maker(), [event(case(said[0]) + said[1:])])
    assert found is not None
    assert found.text.startswith("the API server refuses to create pods: error looking up")


def test_a_namesake_of_before_says_nothing() -> None:
    old = event(tried("wide-0", QUOTA))
    old["involvedObject"]["uid"] = "another"
    assert refused(maker(), [old]) is None


@pytest.mark.parametrize("about", ["wide", "wide-0", "wide-1"])
def test_a_groups_stateful_sets_speak_for_it(about: str) -> None:
    of_set = event(tried(f"{about}-1", QUOTA), about=about)
    of_set["involvedObject"]["uid"] = "of the StatefulSet"
    found = refused(maker("LeaderWorkerSet"), [of_set])
    assert found is not None
    assert found.reason is Reason.QUOTA_EXCEEDED


@pytest.mark.parametrize("about", ["wide-2", "wide-x", "other-0", "wider"])
def test_sets_of_others_do_not(about: str) -> None:
    assert refused(maker("LeaderWorkerSet"), [event(tried("x", QUOTA), about=about)]) is None


def test_what_a_namesakes_group_met_before_is_history() -> None:
    assert refused(maker("LeaderWorkerSet"), [event(tried("wide-0", QUOTA), "11:59:00")]) is None


def test_a_stateful_set_that_is_refused_itself_is_told() -> None:
    said = (
        'Failed to create leader statefulset wide: statefulsets.apps "wide" is forbidden: exceeded quota:'
        " few, requested: count/statefulsets.apps=1, used: count/statefulsets.apps=0,"
        " limited: count/statefulsets.apps=0"
    )
    one = event(said, kind="LeaderWorkerSet")
    of_events_api = {**one, "lastTimestamp": None, "eventTime": "2026-01-01T12:00:05.123456Z"}
    found = refused(maker("LeaderWorkerSet"), [of_events_api])
    assert found is not None
    assert found.reason is Reason.QUOTA_EXCEEDED
    assert "one of statefulsets.apps asks for count/statefulsets.apps=1" in found.text


def test_a_claim_that_is_refused_keeps_its_pod_away() -> None:
    """Its own Event and the one of the pod come by turns."""
    why = (
        'persistentvolumeclaims "data-wide-0" is forbidden: exceeded quota: disks,'
        " requested: requests.storage=1Ti, used: requests.storage=0, limited: requests.storage=100Gi"
    )
    of_claim = f"Create Claim data-wide-0 for Pod wide-0 in StatefulSet wide failed error: {why}"
    of_pod = f"Create Pod wide-0 in StatefulSet wide failed error: failed to create PVC data-wide-0: {why}"
    texts = {str(refused(maker(), [event(said)])) for said in (of_claim, of_pod)}
    assert len(texts) == 1
    assert (
        "ResourceQuota disks allows requests.storage=100Gi and one of persistentvolumeclaims" in texts.pop()
    )


def test_similar_events_that_were_combined_are_read_too() -> None:
    found = refused(maker(), [event("(combined from similar events): " + tried("wide-0", QUOTA))])
    assert found is not None
    assert found.reason is Reason.QUOTA_EXCEEDED


def test_what_a_limit_range_finds_comes_in_one_order() -> None:
    causes = [
        "maximum cpu usage per Container is 2, but limit is 64",
        "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
    ]
    texts = {
        refused_pods(f'pods "chat-{number}" is forbidden: [{", ".join(order)}]').text
        for number, order in enumerate((causes, causes[::-1]))
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    "odd", [{}, {"reason": "FailedCreate"}, {"involvedObject": None, "message": None}, {"lastTimestamp": 7}]
)
def test_odd_events_stop_nobody(odd: Manifest) -> None:
    assert refused(maker(), [odd, event(tried("wide-0", QUOTA))]) is not None
    assert refused(maker(), [{**event(tried("wide-0", QUOTA)), "lastTimestamp": odd}]) is not None
