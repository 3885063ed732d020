"""Other projects' definitions are those that were published, and serve what Loadline reads."""

import hashlib
import lzma
import re
from pathlib import Path
from typing import Any

import pytest

from loadline_operator.services.facts.foreign_workloads import TABLE, ForeignKind
from testbed import peers

PEERS = Path(__file__).parent
BUILT_IN = ("apps",)
NAMED = (
    peers.LEADER_WORKER_SETS,
    peers.DISAGGREGATED_SETS,
    peers.ROLE_SCALERS,
    peers.KSERVE_SERVICES,
    peers.KSERVE_LLM_SERVICES,
)
THEIRS = pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row.kind.group not in BUILT_IN],
    ids=lambda row: f"{row.kind.kind}-{row.kind.version}",
)


def version_of(row: ForeignKind) -> dict[str, Any]:
    """The version that Loadline reads, as its project defines it."""
    (found,) = (
        version
        for spec in (peers.definition(name)["spec"] for name in NAMED)
        if (spec["group"], spec["names"]["kind"]) == (row.kind.group, row.kind.kind)
        for version in spec["versions"]
        if version["name"] == row.kind.version
    )
    return dict(found)


def test_every_file_is_the_one_that_the_readme_names() -> None:
    told = dict(re.findall(r"\| `(\S+\.xz)` .* `([0-9a-f]{64})` \|", (PEERS / "README.md").read_text()))
    files = {path.name: lzma.decompress(path.read_bytes()) for path in PEERS.glob("*.xz")}
    assert {name: hashlib.sha256(text).hexdigest() for name, text in files.items()} == told
    assert set(files) == {f"{name}.yaml.xz" for name in NAMED}


@THEIRS
def test_the_version_that_is_read_is_served(row: ForeignKind) -> None:
    assert version_of(row)["served"]


@THEIRS
def test_what_is_scaled_has_a_scale(row: ForeignKind) -> None:
    assert ("scale" in version_of(row)["subresources"]) == row.scalable


@THEIRS
def test_plurals_are_theirs(row: ForeignKind) -> None:
    plurals = {peers.definition(name)["spec"]["names"]["plural"] for name in NAMED}
    assert row.kind.plural in plurals


def test_the_counts_that_are_read_are_in_the_status_of_a_set() -> None:
    (row,) = (row for row in TABLE if row.kind.kind == "LeaderWorkerSet")
    status = version_of(row)["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert {"replicas", "readyReplicas", "updatedReplicas", "observedGeneration"} <= status.keys()


@THEIRS
def test_health_is_told_by_conditions(row: ForeignKind) -> None:
    status = version_of(row)["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert {"type", "status", "reason", "message"} <= status["conditions"]["items"]["properties"].keys()


def test_what_is_read_of_a_set_of_roles_is_in_its_definition_and_its_scaler_has_a_scale() -> None:
    (row,) = (row for row in TABLE if row.kind.kind == "DisaggregatedSet")
    schema = version_of(row)["schema"]["openAPIV3Schema"]["properties"]
    role = schema["spec"]["properties"]["roles"]["items"]["properties"]
    assert {"name", "scaling", "spec"} <= role.keys()
    assert {"replicas", "leaderWorkerTemplate"} <= role["spec"]["properties"].keys()
    status = schema["status"]["properties"]
    counts = status["roleStatuses"]["items"]["properties"]
    assert {"name", "replicas", "readyReplicas", "updatedReplicas"} <= counts.keys()
    (scaler,) = peers.definition(peers.ROLE_SCALERS)["spec"]["versions"]
    assert (scaler["name"], scaler["subresources"]["scale"]["specReplicasPath"]) == ("v1", ".spec.replicas")
