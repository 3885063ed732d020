"""What the operator says to an engine can't be said by its user as well: the API server refuses it."""

import re
from typing import Any

import pytest

from loadline_api.engine_options import forms
from loadline_api.engines import FROM_FIELDS, FROM_OPERATOR
from loadline_api.inference_services import InferenceService
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.engine_args import Member, arguments

RESERVED = re.compile(forms((*FROM_FIELDS, *FROM_OPERATOR)))

OPEN = {"--shutdown-timeout"}
"""Said by the operator first, and by whom it may concern again: the engine takes the last."""

FULL: dict[str, Any] = {
    "model": {"uri": "hf://org/model@v2", "name": "chat"},
    "parallelism": {"tensor": 4, "pipeline": 2, "data": 2, "expert": True, "nodes": 2},
    "engine": {"maxModelLength": 4096, "maxSequences": 8},
    "kvCache": {"dtype": "fp8"},
    "prefill": {"perDecode": "1"},
    "router": {},
}


@pytest.mark.parametrize("member", Member)
@pytest.mark.parametrize("pool", [0, 1], ids=["decode", "prefill"])
def test_every_argument_of_ours_is_reserved(pool: int, member: Member) -> None:
    metadata = {"name": "chat", "namespace": "serving", "uid": "u", "generation": 1}
    service = InferenceService.parse({"metadata": metadata, "spec": FULL})
    described = describe(service, Defaults())
    said = {one.split("=")[0] for one in arguments(described, described.pools[pool], member=member)}
    assert len(said) > 10
    assert {one for one in said if not RESERVED.match(one)} == OPEN
