"""The user's parts of a pod are laid over ours, by name where things have names."""

from typing import Any

import pytest

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


HTTP = {"name": "http", "containerPort": 8000, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("theirs", "laid"),
    [
        ([{"containerPort": 8000}], [HTTP]),
        ([{"containerPort": 8000, "protocol": "TCP", "hostPort": 80}], [{**HTTP, "hostPort": 80}]),
        ([{"name": "", "containerPort": 8000}], [HTTP]),
        ([], [HTTP]),
        ([{"containerPort": 9000}], [HTTP, {"containerPort": 9000}]),
        (
            [{"containerPort": 8000, "protocol": "UDP"}],
            [HTTP, {"containerPort": 8000, "protocol": "UDP"}],
        ),
        (
            [{"containerPort": 8000}, {"name": "debug", "containerPort": 5678}],
            [HTTP, {"name": "debug", "containerPort": 5678}],
        ),
        ([{"name": "http", "containerPort": 9000}], [{**HTTP, "containerPort": 9000}]),
        ([{"name": "h2c", "containerPort": 8000}], [HTTP, {"name": "h2c", "containerPort": 8000}]),
        ([{"containerPort": 9000}, {"containerPort": 9000}], [HTTP, {"containerPort": 9000}]),
        ([{"containerPort": "8000"}], [{"containerPort": "8000"}]),
    ],
    ids=str,
)
def test_a_port_without_a_name_is_the_one_of_its_number(
    theirs: list[dict[str, Any]], laid: list[dict[str, Any]]
) -> None:
    base = {"spec": {"containers": [{"name": "vllm", "ports": [HTTP]}]}}
    made = lay_over(base, {"spec": {"containers": [{"name": "vllm", "ports": theirs}]}})
    assert made["spec"]["containers"][0]["ports"] == laid


def test_ports_of_two_templates_are_laid_one_over_the_other() -> None:
    made: dict[str, Any] = {"spec": {"ports": [HTTP]}}
    for number in (9000, 8000, 9000):
        made = lay_over(made, {"spec": {"ports": [{"containerPort": number}]}})
    assert made["spec"]["ports"] == [HTTP, {"containerPort": 9000}]
