"""The user's parts of a pod are laid over ours, by name where things have names."""

from loadline_operator.services.objects.pod_templates import lay_over

BASE = {"spec": {"containers": [{"name": "vllm", "image": "a", "args": ["x"], "env": [{"name": "A"}]}]}}


def test_nothing_given_changes_nothing() -> None:
    assert lay_over(BASE, None) == BASE
    assert lay_over(BASE, {}) == BASE


def test_a_pod_spec_is_understood_as_a_whole_template_is() -> None:
    parts = {"nodeSelector": {"gpu": "a100"}}
    assert lay_over(BASE, parts) == lay_over(BASE, {"spec": parts})


def test_named_things_merge_by_name() -> None:
    laid = lay_over(BASE, {"spec": {"containers": [{"name": "vllm", "env": [{"name": "B", "value": "1"}]}]}})
    (one,) = laid["spec"]["containers"]
    assert one["env"] == [{"name": "A"}, {"name": "B", "value": "1"}]
    assert one["image"] == "a"


def test_other_lists_replace_ours() -> None:
    laid = lay_over(BASE, {"spec": {"containers": [{"name": "vllm", "args": ["y"]}]}})
    assert laid["spec"]["containers"][0]["args"] == ["y"]


def test_null_removes_a_key() -> None:
    laid = lay_over(BASE, {"spec": {"containers": [{"name": "vllm", "args": None}]}})
    assert "args" not in laid["spec"]["containers"][0]


def test_what_was_given_is_not_changed() -> None:
    lay_over(BASE, {"spec": {"containers": [{"name": "vllm", "args": ["y"]}]}})
    assert BASE["spec"]["containers"][0]["args"] == ["x"]


def test_two_mounts_of_one_volume_stay_two() -> None:
    ours = {"spec": {"volumeMounts": [{"name": "home", "mountPath": "/home"}]}}
    theirs = [
        {"name": "disk", "mountPath": "/home"},
        {"name": "disk", "mountPath": "/a", "subPath": "a"},
        {"name": "disk", "mountPath": "/b", "subPath": "b"},
    ]
    assert lay_over(ours, {"spec": {"volumeMounts": theirs}})["spec"]["volumeMounts"] == theirs


def test_a_list_of_other_things_is_not_taken_for_names() -> None:
    laid = lay_over(BASE, {"spec": {"containers": [{"name": "vllm", "env": ["A=1"]}]}})
    assert laid["spec"]["containers"][0]["env"] == ["A=1"]


def test_an_empty_list_of_named_things_takes_nothing_away() -> None:
    base = {"spec": {"containers": [{"name": "vllm", "env": [{"name": "HOME", "value": "/home/engine"}]}]}}
    laid = lay_over(base, {"spec": {"containers": [{"name": "vllm", "env": []}]}})
    assert laid == base
