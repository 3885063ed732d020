"""An object holds a manifest when it has all that the manifest says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_operator.kube.comparisons import holds

leaves = st.one_of(st.integers(), st.text(max_size=5), st.booleans(), st.none())
manifests = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner)),
    max_leaves=12,
)


@given(manifests)
def test_everything_holds_itself(manifest: Any) -> None:
    assert holds(manifest, manifest)


@given(st.dictionaries(st.text(max_size=3), manifests), st.dictionaries(st.text(min_size=4), manifests))
def test_what_others_add_does_no_harm(wanted: dict[str, Any], added: dict[str, Any]) -> None:
    assert holds(wanted, {**added, **wanted})


@pytest.mark.parametrize(
    ("wanted", "observed"),
    [
        ({"cpu": "1000m"}, {"cpu": "1"}),
        ({"gpu": "8"}, {"gpu": 8}),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}),
        ({"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}),
        ({"labels": {}}, {}),
    ],
)
def test_the_api_servers_wording_is_the_same(wanted: Any, observed: Any) -> None:
    assert holds(wanted, observed)


@pytest.mark.parametrize(
    ("wanted", "observed"),
    [
        ({"replicas": 2}, {"replicas": 1}),
        ({"replicas": 1}, {}),
        ({"a": {"b": "c"}}, {"a": "c"}),
        ({"args": ["x"]}, {"args": ["x", "y"]}),
        ({"image": "a"}, {"image": "b"}),
    ],
)
def test_a_difference_is_seen(wanted: Any, observed: Any) -> None:
    assert not holds(wanted, observed)
