"""Three examples, word for word as they are applied; set LOADLINE_REWRITE_SNAPSHOTS to accept what is new."""

import json
import os
from pathlib import Path

import pytest
import yaml

from loadline_api.inference_services import InferenceService
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.manifests import OPTIONAL_KINDS, wanted

EXAMPLES = Path(__file__).parents[5] / "examples"
SNAPSHOTS = Path(__file__).parent / "snapshots"
REWRITE = "LOADLINE_REWRITE_SNAPSHOTS"


@pytest.mark.parametrize(
    ("example", "defaults"),
    [
        ("chat", Defaults(model_cache="/var/lib/loadline-models", endpoint_picker="{service}-epp")),
        ("chat-pd", Defaults()),
        ("chat-multinode", Defaults()),
    ],
)
def test_an_example_becomes_what_it_became_before(example: str, defaults: Defaults) -> None:
    manifest = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
    manifest["metadata"] |= {"namespace": "serving", "uid": "0000"}
    made = wanted(describe(InferenceService.parse(manifest), defaults), offered=frozenset(OPTIONAL_KINDS))
    plain = json.loads(json.dumps([one.manifest for one in made]))
    text = yaml.safe_dump_all(plain, sort_keys=True, width=110)
    path = SNAPSHOTS / f"{example}.yaml"
    if REWRITE in os.environ:
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")
