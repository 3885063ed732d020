"""
Everything that a person may write wrongly into an InferenceService, and who says what about it.

One table: the API server refuses what it can know, with the field and the fix; what only
the cluster can know is taken, and a condition says it. Nothing is taken in silence.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError
from testbed.doubles.operators import LoneOperator, pods_of, says

pytestmark = pytest.mark.cluster

GOOD: Object = {"model": {"uri": "hf://org/model", "name": "chat"}}
LONG = "m" * 254
DEPLOYMENT: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
LOOK_S, SETTLED_LOOKS, SETTLING_LOOKS = 0.5, 10, 120
"""Between two looks at all sentences, and how many agree, or are had, before flapping is looked for."""

FLAPS_S = float(os.environ.get("LOADLINE_FLAPS_S", "10"))
"""How long no sentence may change."""

SPLIT: Object = {"prefill": {"replicas": 1}, "router": {}}


def manifest(name: str, change: Object) -> Object:
    spec = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    head = {"apiVersion": names.API_VERSION, "kind": "InferenceService"}
    return {**head, "metadata": {"name": name}, "spec": spec}


def refused(id: str, change: Object, *words: str) -> Any:
    """A row of a manifest that the API server refuses with these words."""
    return pytest.param(change, words, id=id)


def arguments(*words: str) -> Object:
    return {"engine": {"arguments": list(words)}}


def attached(**ref: str) -> Object:
    return {"model": None, "workloadRef": {**DEPLOYMENT, **ref}}


MODELS = (
    refused("nothing-served", {"model": None}, "model and workloadRef", "set exactly one"),
    refused("served-twice", {"workloadRef": DEPLOYMENT}, "model and workloadRef", "set exactly one"),
    refused("uri-missing", {"model": {}}, "spec.model.uri", "Required"),
    refused("uri-empty", {"model": {"uri": ""}}, "spec.model.uri", "at least 1"),
    refused("uri-a-name", {"model": {"uri": "org/model"}}, "model.uri is org/model", "begin it with hf://"),
    refused(
        "uri-of-s3", {"model": {"uri": "s3://bucket/model"}}, "model.uri is s3://", "begin it with hf://"
    ),
    refused("hf-empty", {"model": {"uri": "hf://"}}, "model.uri is hf://", "hf://ORG/MODEL"),
    refused(
        "hf-too-deep", {"model": {"uri": "hf://org/model/file"}}, "hf://org/model/file", "hf://ORG/MODEL"
    ),
    refused("hf-with-a-blank", {"model": {"uri": "hf://org/my model"}}, "org/my model", "hf://ORG/MODEL"),
    refused("hf-revision-empty", {"model": {"uri": "hf://org/model@"}}, "org/model@", "[@REVISION]"),
    refused("pvc-without-claim", {"model": {"uri": "pvc:///llama"}}, "pvc:///llama", "write pvc://CLAIM"),
    refused("pvc-in-capitals", {"model": {"uri": "pvc://Weights/l"}}, "pvc://Weights", "where CLAIM is"),
    refused("pvc-climbs-out", {"model": {"uri": "pvc://weights/../secret"}}, "/../secret", "remove /.."),
    refused(
        "oci-with-a-blank", {"model": {"uri": "oci://reg.io/my image"}}, "my image", "oci://IMAGE[/PATH]"
    ),
    refused("file-relative", {"model": {"uri": "file://models/l"}}, "file://models/l", "an absolute path"),
    refused(
        "name-too-long", {"model": {"uri": "hf://o/m", "name": LONG}}, "spec.model.name", "may not be more"
    ),
    refused(
        "name-with-a-blank",
        {"model": {"uri": "hf://o/m", "name": "my chat"}},
        '"my chat"',
        "remove spaces",
    ),
    refused("model-a-text", {"model": "hf://org/model"}, "spec.model", "object"),
    *(
        refused(f"password-{name}", {"model": {"uri": uri}}, "model.uri has a user, a password", "HF_TOKEN")
        for name, uri in {
            "oci": "oci://user:hunter2@ghcr.io/org/llama:70b",
            "oci-by-digest": "oci://user:hunter2@ghcr.io/org/llama@sha256:" + "0" * 64,
            "oci-token": "oci://hunter2@ghcr.io/org/llama:70b",
            "hf": "hf://user:hunter2@org/model",
            "hf-token": "hf://hf_hunter2hunter2hunter2@org/model",
            "pvc": "pvc://user:hunter2@weights",
            "file": "file://user:hunter2@host/models",
            "https": "https://user:hunter2@models.example/llama",
            "s3": "s3://AKIA:hunter2@bucket/llama",
        }.items()
    ),
)
COUNTS = (
    refused("replicas-negative", {"replicas": -1}, "spec.replicas", "greater than or equal to 0"),
    refused("replicas-a-text", {"replicas": "3"}, "spec.replicas", "integer"),
    refused("replicas-a-float", {"replicas": 2.5}, "spec.replicas", "integer"),
    refused("replicas-too-many", {"replicas": 10_001}, "spec.replicas", "less than or equal to 10000"),
    refused(
        "flood-of-prefill",
        {"replicas": 10_000, "prefill": {"perDecode": "9999"}, "router": {}},
        "replicas is 10000 and prefill.perDecode is 9999",
        "makes 99990000 prefill replicas",
        '"0.5" is one prefill replica',
    ),
    refused(
        "flood-of-nodes",
        {"replicas": 5000, "parallelism": {"tensor": 8, "nodes": 8}},
        "replicas is 5000 and parallelism.nodes is 8",
        "makes 40000 pods",
        "lower one of the two",
    ),
    refused(
        "flood-of-gpus",
        {"replicas": 10, "parallelism": {"tensor": 1024, "pipeline": 64}},
        "replicas is 10",
        "each 65536 GPUs (tensor × pipeline × data)",
        "makes 655360",
    ),
    refused(
        "gpus-of-one-replica",
        {"parallelism": {"tensor": 1024, "pipeline": 1024, "data": 1024}},
        "1073741824 GPUs",
        "at most 100000",
    ),
    refused(
        "flood-of-prefill-nodes",
        {
            "prefill": {"replicas": 10_000, "parallelism": {"tensor": 2, "nodes": 2}},
            "router": {},
            "parallelism": {"tensor": 2},
        },
        "prefill has 10000 replicas of 2 nodes each",
        "20000 pods",
        "lower prefill.replicas",
    ),
    refused(
        "flood-of-prefill-gpus",
        {"prefill": {"replicas": 1000}, "router": {}, "parallelism": {"tensor": 1024}, "replicas": 1},
        "prefill has 1000 replicas",
        "each 1024 GPUs",
        "1024000",
    ),
    refused(
        "scaling-crossed",
        {"scaling": {"minReplicas": 4, "maxReplicas": 2}},
        "scaling.minReplicas is 4",
        "lower",
    ),
    refused(
        "scaling-to-none",
        {"scaling": {"minReplicas": 0, "maxReplicas": 0}},
        "scaling.maxReplicas",
        "equal to 1",
    ),
    refused("scaling-unbounded", {"scaling": {"minReplicas": 1}}, "spec.scaling.maxReplicas", "Required"),
    refused(
        "rollout-stuck",
        {"rolloutStrategy": {"maxSurge": 0, "maxUnavailable": "0%"}},
        "no pod could be replaced",
        "raise",
    ),
    refused(
        "rollout-percent", {"rolloutStrategy": {"maxSurge": "101%"}}, "101% is neither a count", "such as 1"
    ),
    refused("rollout-bare-text", {"rolloutStrategy": {"maxUnavailable": "1"}}, "1 is neither a count", "25%"),
    refused(
        "rollout-negative", {"rolloutStrategy": {"maxSurge": -1}}, "maxSurge", "greater than or equal to 0"
    ),
)
SPREADS = (
    refused("tensor-zero", {"parallelism": {"tensor": 0}}, "parallelism.tensor", "equal to 1"),
    refused("tensor-negative", {"parallelism": {"tensor": -1}}, "parallelism.tensor", "equal to 1"),
    refused("tensor-a-float", {"parallelism": {"tensor": 3.5}}, "parallelism.tensor", "integer"),
    refused("tensor-too-many", {"parallelism": {"tensor": 1025}}, "parallelism.tensor", "equal to 1024"),
    refused("parallelism-unknown", {"parallelism": {"sequence": 2}}, "sequence", "unknown field"),
    refused("expert-a-count", {"parallelism": {"expert": 8}}, "parallelism.expert", "boolean"),
    refused(
        "nodes-odd", {"parallelism": {"tensor": 8, "nodes": 3}}, "parallelism.nodes", "does not divide the 8"
    ),
    refused("nodes-zero", {"parallelism": {"nodes": 0}}, "parallelism.nodes", "equal to 1"),
)
SPLITS = (
    refused("prefill-without-router", {"prefill": {"replicas": 1}}, "prefill needs a router", "add router"),
    refused("prefill-unsized", {"prefill": {}, "router": {}}, "prefill needs one size", "prefill.perDecode"),
    refused(
        "prefill-sized-twice",
        {"prefill": {"replicas": 2, "perDecode": "0.5"}, "router": {}},
        "prefill needs one size",
        "either prefill.replicas",
    ),
    refused(
        "prefill-none",
        {"prefill": {"replicas": 0}, "router": {}},
        "prefill.replicas is 0",
        "remove prefill",
    ),
    refused("ratio-a-word", {"prefill": {"perDecode": "half"}, "router": {}}, "half is not a ratio", "0.5"),
    refused("ratio-a-float", {"prefill": {"perDecode": 0.5}, "router": {}}, "perDecode", "string"),
    refused("ratio-zero", {"prefill": {"perDecode": "0"}, "router": {}}, "prefill.perDecode is 0", "above 0"),
    refused("ratio-negative", {"prefill": {"perDecode": "-1"}, "router": {}}, "-1 is not a ratio", "0.5"),
    refused(
        "decode-in-stages",
        {**SPLIT, "parallelism": {"pipeline": 2}},
        "parallelism.pipeline is 2",
        "raise tensor",
    ),
    refused(
        "prefill-in-stages",
        {"prefill": {"replicas": 1, "parallelism": {"pipeline": 2}}, "router": {}},
        "prefill.parallelism.pipeline is 2",
        "raise tensor",
    ),
    refused(
        "tensors-apart",
        {
            "prefill": {"replicas": 1, "parallelism": {"tensor": 3}},
            "router": {},
            "parallelism": {"tensor": 4},
        },
        "prefill.parallelism.tensor is 3 and parallelism.tensor is 4",
        "a multiple of the other",
    ),
    refused(
        "split-never", {**SPLIT, **arguments("--use-replayssm")}, "--use-replayssm", "KV transfer", "remove"
    ),
    refused("router-none", {"router": {"replicas": 0}}, "router.replicas", "equal to 1"),
    refused("router-policy-unknown", {"router": {"policy": "Sticky"}}, "router.policy", '"CacheAware"'),
)
ENGINES = (
    refused("argument-ours", arguments("--port=80"), "--port=80", "the operator sets", "remove it"),
    refused(
        "argument-of-a-field",
        arguments("--tensor-parallel-size=2"),
        "-size=2",
        "parallelism",
        "set that field",
    ),
    refused(
        "argument-underscored", arguments("--tensor_parallel_size=2"), "tensor_parallel_size=2", "parallelism"
    ),
    refused("argument-dotted", arguments("--kv-transfer-config.kv_role=kv_both"), "kv_role", "remove it"),
    refused("argument-negated", arguments("--no-enable-expert-parallel"), "--no-enable", "set that field"),
    refused(
        "argument-with-a-password",
        arguments("--otlp-traces-endpoint=https://user:hunter2@traces.example:4317"),
        "engine.arguments has a URL with a password",
        "--name=$(VARIABLE)",
    ),
    refused(
        "password-within-an-argument",
        arguments('--speculative-config={"model": "https://u:hunter2@h/m"}'),
        "has a URL with a password",
    ),
    refused("argument-cut-short", arguments("--por=9000"), "--por=9000", "the operator sets", "remove it"),
    refused("degree-cut-short", arguments("--tensor-parallel=4"), "--tensor-parallel=4", "parallelism"),
    refused("name-cut-short", arguments("--served_model=x"), "--served_model=x", "model", "set that field"),
    refused("transfer-cut-short", arguments("--kv-transfer={}"), "--kv-transfer={}", "the operator sets"),
    refused("argument-of-another-server", arguments("--grpc"), "--grpc", "remove it"),
    refused("argument-and-value", arguments("--port 9000"), '"--port 9000"', "one entry", "--name=value"),
    refused("batch-and-value", arguments("--max-num-batched-tokens 8192"), "tokens 8192", "one entry"),
    refused(
        "tls-behind-a-router",
        {**arguments("--ssl-certfile=/tls/tls.crt"), "router": {}},
        "--ssl-certfile=/tls/tls.crt",
        "routers connect to engines by HTTP",
        "remove router",
    ),
    refused(
        "tls-for-known-clients",
        arguments("--ssl_cert_reqs=2"),
        "the kubelet's probes and the agents have none",
        "remove --ssl-cert-reqs",
    ),
    refused("argument-short", arguments("-tp=2"), '"-tp=2"', "--name=value"),
    refused("argument-apart", arguments("--seed", "7"), '"7"', "one entry"),
    refused("argument-empty", arguments(""), "engine.arguments[0]", "at least 1"),
    refused(
        "arguments-too-many", arguments(*(f"--a{i}" for i in range(65))), "engine.arguments", "at most 64"
    ),
    refused("arguments-a-text", {"engine": {"arguments": "--seed=7"}}, "engine.arguments", "array"),
    refused("length-zero", {"engine": {"maxModelLength": 0}}, "engine.maxModelLength", "equal to 1"),
    refused("length-a-text", {"engine": {"maxModelLength": "32k"}}, "engine.maxModelLength", "integer"),
    refused("sequences-zero", {"engine": {"maxSequences": 0}}, "engine.maxSequences", "equal to 1"),
    refused("dtype-unknown", {"kvCache": {"dtype": "int4"}}, "kvCache.dtype", '"fp8"'),
    refused("template-a-text", {"template": "privileged"}, "spec.template", "object"),
)
PROMISES = (
    refused("slo-empty", {"slo": {}}, "slo sets no objective", "slo.ttftMs"),
    refused("slo-with-a-unit", {"slo": {"ttftMs": "2s"}}, "slo.ttftMs", "integer"),
    refused("slo-in-seconds", {"slo": {"ttftMs": 0.5}}, "slo.ttftMs", "integer"),
    refused("slo-at-once", {"slo": {"ttftMs": 0}}, "slo.ttftMs", "equal to 1"),
    refused("slo-some-day", {"slo": {"ttftMs": 3_600_001}}, "slo.ttftMs", "equal to 3600000"),
    refused(
        "slo-upside-down",
        {"slo": {"ttftMs": 40, "itlMs": 200}},
        "slo.ttftMs is 40",
        "slo.itlMs (200)",
        "raise",
    ),
    refused("percentile-of-all", {"slo": {"ttftMs": 9, "percentile": 100}}, "slo.percentile", "equal to 99"),
    refused("percentile-a-sign", {"slo": {"ttftMs": 9, "percentile": "95%"}}, "slo.percentile", "integer"),
    refused("priority-too-high", {"priority": 1001}, "spec.priority", "equal to 1000"),
    refused("priority-a-word", {"priority": "high"}, "spec.priority", "integer"),
    refused("watts-none", {"power": {"maxWatts": 0}}, "power.maxWatts", "equal to 1"),
    refused("watts-in-milliwatts", {"power": {"maxWatts": 350_000}}, "power.maxWatts", "equal to 10000"),
    refused("watts-with-a-unit", {"power": {"maxWatts": "350W"}}, "power.maxWatts", "integer"),
    refused("policy-nameless", {"experts": {"policyRef": {}}}, "policyRef.name", "Required"),
    refused(
        "policy-misnamed",
        {"kvCache": {"policyRef": {"name": "My KV"}}},
        "My KV is not a valid object name",
        "lowercase letters",
    ),
    refused(
        "gamma-bounds-contradict",
        {"experts": {"gamma": {"minPercent": 200, "maxPercent": 150}}},
        "experts.gamma.minPercent is 200, above maxPercent (150)",
        "lower minPercent or raise maxPercent",
    ),
    refused(
        "gamma-below-the-mean",
        {"experts": {"gamma": {"minPercent": 99}}},
        "gamma.minPercent",
        "greater than or equal to 100",
    ),
    refused(
        "gamma-above-the-default-maximum",
        {"experts": {"gamma": {"minPercent": 400}}},
        "experts.gamma.minPercent is 400, above maxPercent (300)",
    ),
    refused(
        "strategy-unknown",
        {"experts": {"strategy": "Shuffle"}},
        "experts.strategy",
        '"Drop", "Reroute", "RankDrop"',
    ),
    refused("experts-mode-unknown", {"experts": {"mode": "Bound"}}, "mode", '"Off", "Observe", "Enforce"'),
    refused(
        "enforced-without-objectives",
        {"experts": {"mode": "Enforce"}},
        "experts.mode is Enforce",
        "add slo, or set experts.mode to Observe",
    ),
    refused("min-tokens-none", {"experts": {"minTokens": 0}}, "minTokens", "greater than or equal to 1"),
    refused(
        "guard-beyond-all",
        {"experts": {"guard": {"maxDroppedPercent": 101}}},
        "maxDroppedPercent",
        "less than or equal to 100",
    ),
    refused("experts-field-unknown", {"experts": {"gama": {}}}, "experts.gama", "unknown field"),
    refused(
        "admission-mode-unknown",
        {"kvCache": {"admission": {"mode": "On"}}},
        "kvCache.admission.mode",
        '"Off", "Observe", "Enforce"',
    ),
    refused(
        "estimator-unknown",
        {"kvCache": {"admission": {"estimator": "Oracle"}}},
        "kvCache.admission.estimator",
        '"History", "Buckets", "WorstCase"',
    ),
    refused(
        "victim-unknown",
        {"kvCache": {"admission": {"victim": "Oldest"}}},
        "kvCache.admission.victim",
        '"Newest", "LeastComputed", "Deadline"',
    ),
    refused(
        "reserve-beyond-half",
        {"kvCache": {"admission": {"reservePercent": 51}}},
        "kvCache.admission.reservePercent",
        "less than or equal to 50",
    ),
    refused(
        "reserve-a-float", {"kvCache": {"admission": {"reservePercent": 2.5}}}, "reservePercent", "integer"
    ),
    refused("admission-field-unknown", {"kvCache": {"admission": {"watermark": 3}}}, "unknown field"),
    *(
        refused(
            f"scheduler-of-their-own-{mode.lower()}-{number}",
            {**arguments("--seed=7", word), "kvCache": {"admission": {"mode": mode}}},
            f"engine.arguments has {word}, but kvCache.admission.mode is {mode}",
            "remove it from engine.arguments, or set kvCache.admission.mode to Off",
        )
        for mode in ("Observe", "Enforce")
        for number, word in enumerate(("--scheduler-cls=my.Scheduler", "--scheduler_cls=vllm.Other"))
    ),
    refused("field-unknown", {"replica": 3}, "spec.replica", "unknown field"),
)


def retention(**fields: Any) -> Object:
    return {"kvCache": {"retention": {"mode": "Enforce", **fields}}}


OFF_INSTEAD = "set kvCache.retention.mode to Off"
RETENTION = (
    refused(
        "retention-mode-unknown",
        {"kvCache": {"retention": {"mode": "On"}}},
        "kvCache.retention.mode",
        '"Off", "Observe", "Enforce"',
    ),
    refused(
        "kept-tokens-unknown", retention(policy="H2O"), "kvCache.retention.policy", '"Streaming", "KeyNorm"'
    ),
    refused("quality-unknown", retention(qualityClass="Low"), "qualityClass", '"Full", "High", "Standard"'),
    refused(
        "probe-failure-unknown", retention(onProbeFailure="Warn"), "onProbeFailure", '"Degrade", "Refuse"'
    ),
    refused("retention-field-unknown", retention(keep=3), "kvCache.retention.keep", "unknown field"),
    refused("budget-none", retention(budgetTokens=0), "budgetTokens", "greater than or equal to 16"),
    refused("budget-a-float", retention(budgetTokens=512.5), "budgetTokens", "integer"),
    refused("gates-relative", retention(policy="TrimKv", gatesPath="gates.safetensors"), "gatesPath", "^/"),
    *(
        refused(
            f"{field}-in-part",
            retention(**{field: 1000}),
            f"kvCache.retention.{field} is 1000",
            "set a multiple of 16",
        )
        for field in ("budgetTokens", "mostTokens", "bufferTokens")
    ),
    *(
        refused(
            f"{field}-without-choice",
            retention(**{field: 64}),
            f"kvCache.retention.{field} is 64, less than twice sinkTokens (4) and recentTokens (32) together",
            "raise it, or lower one of the two",
        )
        for field in ("budgetTokens", "mostTokens")
    ),
    refused(
        "budget-above-the-most",
        retention(budgetTokens=1024, mostTokens=512),
        "kvCache.retention.budgetTokens is 1024, above mostTokens (512)",
        "lower budgetTokens or raise mostTokens",
    ),
    refused(
        "protected-beyond-half",
        retention(budgetTokens=512, protectTokens=257),
        "kvCache.retention.protectTokens is 257, more than half of budgetTokens (512)",
        "lower it, or raise budgetTokens",
    ),
    refused(
        "protected-beyond-half-of-the-most",
        retention(mostTokens=512, protectTokens=257),
        "protectTokens is 257, more than half of mostTokens (512)",
    ),
    refused(
        "trimkv-without-gates",
        retention(policy="TrimKv"),
        "kvCache.retention.policy is TrimKv, which needs a file of gates",
        "set gatesPath",
    ),
    refused(
        "gates-for-another-policy",
        retention(policy="KeyNorm", gatesPath="/gates/a"),
        "kvCache.retention.gatesPath is /gates/a, but policy is KeyNorm",
        "remove gatesPath, or set policy to TrimKv",
    ),
    refused(
        "retention-of-pools",
        {**retention(), **SPLIT},
        "kvCache.retention.mode is Enforce",
        "remove prefill",
        OFF_INSTEAD,
    ),
    refused(
        "retention-of-few-bits",
        {"kvCache": {"dtype": "fp8", "retention": {"mode": "Observe"}}},
        "kvCache.retention.mode is Observe, but kvCache.dtype is fp8",
        "set kvCache.dtype to auto",
        OFF_INSTEAD,
    ),
    refused(
        "retention-of-a-pipeline",
        {**retention(), "parallelism": {"pipeline": 2}},
        "parallelism.pipeline is 2: set it to 1 and raise tensor",
        OFF_INSTEAD,
    ),
    *(
        refused(
            f"retention-beside-{number}",
            {**retention(), **arguments("--seed=7", word)},
            f"kvCache.retention.mode is Enforce, but engine.arguments has {word}",
            "remove that argument",
            OFF_INSTEAD,
        )
        for number, word in enumerate(
            (
                "--speculative-config={}",
                "--speculative_config.method=ngram",
                "--spec-method=ngram",
                "--decode-context-parallel-size=2",
                "--kv-offloading-size=4",
                "--enable-dbo",
                "--worker-cls=my.Worker",
            )
        )
    ),
    refused(
        "retention-scheduled-by-another",
        {**retention(), **arguments("--scheduler-cls=my.Scheduler")},
        "engine.arguments has --scheduler-cls=my.Scheduler, but kvCache.retention.mode is Enforce",
        "set kvCache.retention.mode to Off",
    ),
    *(
        refused(
            f"{field}-off-the-block",
            {**retention(**{field: 528}), **arguments("--block-size=128")},
            f"kvCache.retention.{field} is 528, but engine.arguments has --block-size=128",
            f"set {field} to a multiple of that block size",
        )
        for field in ("budgetTokens", "mostTokens", "bufferTokens")
    ),
)
ATTACHMENTS = (
    refused(
        "workload-unknown", attached(kind="ReplicaSet"), "ReplicaSet of apps/v1", "name one of Deployment"
    ),
    refused("workload-of-old", attached(apiVersion="apps/v1beta1"), "apps/v1beta1", "Deployment (apps/v1)"),
    refused(
        "workload-itself",
        attached(apiVersion=names.API_VERSION, kind="InferenceService"),
        "InferenceService of loadline.dev/v1alpha1",
        "name one of Deployment",
    ),
    refused("workload-nameless", attached(name=""), "workloadRef.name", "at least 1"),
    refused(
        "workload-misnamed", attached(name="Chat_1"), "Chat_1 is not a valid object name", "lowercase letters"
    ),
    refused("workload-elsewhere", attached(namespace="other"), "workloadRef.namespace", "unknown field"),
    refused("workload-routed", {**attached(), "router": {}}, "workloadRef", "remove prefill"),
    refused("workload-split", {**attached(), **SPLIT}, "workloadRef", "remove prefill"),
    refused("workload-spread", {**attached(), "parallelism": {"tensor": 2}}, "workloadRef", "remove prefill"),
    refused("workload-started", {**attached(), **arguments("--seed=7")}, "workloadRef", "remove prefill"),
    refused(
        "workload-typed",
        {**attached(), "kvCache": {"dtype": "fp8"}},
        "kvCache.dtype is fp8",
        "remove kvCache.dtype",
    ),
)


def told(
    id: str, change: Object, type: str, reason: str, *words: str, before: tuple[Object, ...] = ()
) -> Any:
    """A row of a manifest that is taken; `before` is what lies in its namespace."""
    return pytest.param(id, change, type, reason, words, before, id=id)


def template(**spec: Any) -> Object:
    return {"template": {"spec": spec}}


def engine(**container: Any) -> Object:
    return template(containers=[{"name": "vllm", **container}])


def there(api_version: str, kind: str, name: str, **body: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **body}


THEIR_PODS: Object = {"containers": [{"name": "theirs", "image": "theirs"}]}
THEIR_DEPLOYMENT: Object = {
    "selector": {"matchLabels": {"app": "theirs"}},
    "template": {"metadata": {"labels": {"app": "theirs"}}, "spec": THEIR_PODS},
}


WIDE_CONTAINER: Object = {
    "name": "theirs",
    "image": "theirs",
    "resources": {"limits": {"cpu": "206", "memory": "1500Gi", "nvidia.com/gpu": "8"}},
}


DISK: Object = {
    "metadata": {"name": "disk"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Ti"}}},
}


def with_pods(workload: Object, **spec: Any) -> Object:
    """A workload's spec with more in its pods' one."""
    made = workload["template"]
    return {**workload, "template": {**made, "spec": {**made["spec"], **spec}}}


def their_set(**pods: Any) -> Object:
    """A StatefulSet of somebody else, with more in its pods' spec."""
    return there("apps/v1", "StatefulSet", "theirs", spec=with_pods(THEIR_DEPLOYMENT, **pods))


TEMPLATES = (
    told("field-of-no-pod", template(restrtPolicy="Always"), "Ready", "TemplateRefused", "restrtPolicy"),
    told("value-of-no-pod", template(restartPolicy="Sometimes"), "Ready", "TemplateRefused", "restartPolicy"),
    told("containers-a-text", template(containers="vllm"), "Ready", "TemplateRefused", "containers"),
    told("container-nameless", template(containers=[{"image": "x"}]), "Ready", "TemplateRefused", "name"),
    told("image-empty", engine(image=""), "Ready", "TemplateRefused", "image", "Required"),
    told(
        "cpu-of-no-unit", engine(resources={"limits": {"cpu": "lots"}}), "Ready", "TemplateRefused", "quantit"
    ),
    told(
        "request-above-limit",
        engine(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        "Ready",
        "TemplateRefused",
        "must be less than or equal to cpu limit",
    ),
    told(
        "volume-missing",
        engine(volumeMounts=[{"name": "nowhere", "mountPath": "/nowhere"}]),
        "Ready",
        "TemplateRefused",
        "volumeMounts",
        "nowhere",
    ),
    told(
        "account-missing",
        template(serviceAccountName="ghost"),
        "Ready",
        "TemplateRefused",
        '"ghost" not found',
    ),
    told("class-missing", template(priorityClassName="admiral"), "Ready", "TemplateRefused", "admiral"),
    told(
        "runtime-missing", template(runtimeClassName="kata"), "Ready", "TemplateRefused", '"kata" not found'
    ),
    told(
        "tls-in-a-template-behind-a-router",
        {**engine(args=["--model=/m", "--ssl-certfile=/tls/tls.crt"]), "router": {}},
        "Ready",
        "Contradiction",
        "the template makes the engines of pool main serve HTTPS",
        "remove router",
    ),
    told(
        "pools-at-two-ports",
        {
            "prefill": {
                "replicas": 1,
                **engine(ports=[{"name": "http", "containerPort": 9000}]),
            },
            "router": {},
        },
        "Ready",
        "Contradiction",
        "port 8000 and on 9000",
        "set the same port in all templates",
    ),
    told(
        "node-missing",
        template(nodeSelector={"planet": "mars"}),
        "Ready",
        "Unschedulable",
        "affinity/selector",
    ),
)
NOTES = (
    told(
        "removal-nowhere",
        {"template": {"remove": [{"container": "vllm", "path": "livenesProbe"}]}},
        "Ready",
        "AsDeclared",
        "template.remove has livenesProbe of container vllm, which no pod has: correct the path",
    ),
    told(
        "container-twice",
        template(containers=[{"name": "vllm", "tty": True}, {"name": "vllm", "stdin": True}]),
        "Ready",
        "AsDeclared",
        "template.spec.containers lists vllm 2 times",
    ),
    told(
        "sidecar-twice",
        template(containers=[{"name": "logs", "image": "a"}, {"name": "logs", "image": "b"}]),
        "Ready",
        "TemplateRefused",
        "template.spec.containers lists logs 2 times",
    ),
    told(
        "mount-twice",
        engine(volumeMounts=[{"name": "home", "mountPath": "/data"}, {"name": "shm", "mountPath": "/data"}]),
        "Ready",
        "TemplateRefused",
        "template.spec.containers[vllm].volumeMounts lists /data 2 times",
    ),
    told(
        "variable-twice",
        engine(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        "Ready",
        "TemplateRefused",
        "template.spec.containers[vllm].env lists A 2 times",
    ),
    told(
        "password-in-a-variable",
        engine(env=[{"name": "HTTPS_PROXY", "value": "http://user:hunter2@proxy:3128"}]),
        "Ready",
        "AsDeclared",
        "env[HTTPS_PROXY].value has a URL with a password",
        "valueFrom.secretKeyRef",
    ),
    told(
        "gpus-beside-parallelism",
        {"parallelism": {"tensor": 4}, **engine(resources={"limits": {"nvidia.com/gpu": "2"}})},
        "Ready",
        "AsDeclared",
        "requests 2 nvidia.com/gpu for vllm, but parallelism uses 4",
    ),
)
CLUSTERS = (
    told(
        "gpus-missing", {"parallelism": {"tensor": 64}}, "Ready", "GpuMissing", "asks for 64 nvidia.com/gpu"
    ),
    told(
        "capacity-limited",
        {"parallelism": {"tensor": 64}},
        "CapacityLimited",
        "GpuMissing",
        "pods wait for 64 nvidia.com/gpu",
    ),
    told(
        "amount-in-thousands",
        engine(resources={"limits": {"nvidia.com/gpumem": 8000}}),
        "CapacityLimited",
        "GpuMissing",
        "pods wait for 8k nvidia.com/gpumem",
    ),
    told(
        "cores-missing",
        {"parallelism": {"tensor": 64}, **engine(resources={"requests": {"cpu": "206"}})},
        "Ready",
        "Unschedulable",
        "asks for 206 cpu and 64 nvidia.com/gpu",
    ),
    told(
        "gated",
        template(schedulingGates=[{"name": "example.com/licence"}]),
        "Ready",
        "SchedulingGated",
        "(example.com/licence)",
    ),
    told(
        "capacity-unknown",
        template(serviceAccountName="ghost"),
        "CapacityLimited",
        "NotTold",
        "not all pods have been created yet",
    ),
    told(
        "replica-sets-refused",
        {},
        "Ready",
        "QuotaExceeded",
        "count/replicasets.apps=0",
        before=(there("v1", "ResourceQuota", "none", spec={"hard": {"count/replicasets.apps": "0"}}),),
    ),
    told(
        "claim-missing",
        {"model": {"uri": "pvc://nowhere/l"}},
        "Ready",
        "ModelUnavailable",
        "nowhere",
        "create it",
    ),
    told(
        "groups-missing",
        {"parallelism": {"tensor": 2, "nodes": 2}},
        "Ready",
        "ApiMissing",
        "parallelism.nodes is 2",
        "install LeaderWorkerSet or set nodes to 1",
    ),
    told(
        "deployment-taken",
        {},
        "Ready",
        "NameTaken",
        "Deployment deployment-taken exists, and Loadline did not create it",
        before=(there("apps/v1", "Deployment", "deployment-taken", spec=THEIR_DEPLOYMENT),),
    ),
    told(
        "service-taken",
        {},
        "Ready",
        "NameTaken",
        "Service service-taken exists, and Loadline did not create it",
        before=(there("v1", "Service", "service-taken", spec={"ports": [{"port": 80}]}),),
    ),
    told(
        "quota-used-up",
        {},
        "Ready",
        "QuotaExceeded",
        "ResourceQuota none",
        before=(there("v1", "ResourceQuota", "none", spec={"hard": {"pods": "0"}}),),
    ),
    told(
        "range-left",
        engine(resources={"limits": {"cpu": "64"}, "requests": {"cpu": "1"}}),
        "Ready",
        "TemplateRefused",
        "maximum cpu usage per Container is 2",
        before=(
            there("v1", "LimitRange", "small", spec={"limits": [{"type": "Container", "max": {"cpu": "2"}}]}),
        ),
    ),
    told(
        "nobody-sizes", {"scaling": {"maxReplicas": 4}}, "Ready", "AsDeclared", "does not act on spec.scaling"
    ),
    told(
        "policy-nowhere",
        {"experts": {"policyRef": {"name": "nowhere"}}},
        "PolicyValid",
        "PolicyMissing",
        "policyRef.name is nowhere: no ConfigMap of that name labelled loadline.dev/policy: experts is in",
    ),
    told(
        "plugin-unknown",
        {"experts": {"mode": "Observe"}},
        "PluginMissing",
        "NotTold",
        "Loadline's plugin",
        "experts",
    ),
    told(
        "admission-unreported",
        {"kvCache": {"admission": {"mode": "Enforce"}}},
        "AdmissionPredicted",
        "NotTold",
        "PowerCapped explains why AdmissionPredicted is Unknown",
    ),
    told(
        "retention-unreported",
        {"kvCache": {"retention": {"mode": "Enforce"}}},
        "RetentionActive",
        "NotTold",
        "PowerCapped explains why RetentionActive is Unknown",
    ),
    told(
        "experts-unreported",
        {"experts": {"mode": "Enforce"}, "slo": {"itlMs": 50}},
        "ExpertsBounded",
        "NotTold",
        "PowerCapped explains why ExpertsBounded is Unknown",
    ),
)
FOREIGN = (
    told("attached-to-nothing", attached(), "Ready", "NoWorkload", "Deployment", "does not exist: create it"),
    told(
        "attached-to-no-api",
        attached(apiVersion="serving.kserve.io/v1beta1", kind="InferenceService"),
        "Ready",
        "ApiMissing",
        "serves no InferenceService of serving.kserve.io/v1beta1",
        "install it",
    ),
    told(
        "attached-twice",
        attached(),
        "Ready",
        "ClaimedTwice",
        "also named by rival",
        before=(manifest("rival", attached()),),
    ),
    told(
        "attached-to-ours",
        attached(name="ours"),
        "Ready",
        "OwnWorkload",
        "created by Loadline for inferenceservices.loadline.dev/ours",
        before=(manifest("ours", {}),),
    ),
    told(
        "attached-and-paused",
        attached(name="theirs"),
        "Ready",
        "Paused",
        "kubectl rollout resume deployment/theirs",
        before=(there("apps/v1", "Deployment", "theirs", spec={**THEIR_DEPLOYMENT, "paused": True}),),
    ),
    told(
        "attached-set-over-quota",
        attached(kind="StatefulSet", name="theirs"),
        "Ready",
        "QuotaExceeded",
        "ResourceQuota none allows pods=0",
        before=(
            there("v1", "ResourceQuota", "none", spec={"hard": {"pods": "0"}}),
            their_set(),
        ),
    ),
    told(
        "attached-set-limits-capacity",
        attached(kind="StatefulSet", name="theirs"),
        "CapacityLimited",
        "QuotaExceeded",
        "ResourceQuota none, which allows pods=0",
        before=(
            there("v1", "ResourceQuota", "none", spec={"hard": {"pods": "0"}}),
            their_set(),
        ),
    ),
    told(
        "attached-set-without-account",
        attached(kind="StatefulSet", name="theirs"),
        "Ready",
        "TemplateRefused",
        'serviceaccount "ghost" not found: create it',
        before=(their_set(serviceAccountName="ghost"),),
    ),
    told(
        "attached-set-over-three-quotas",
        attached(kind="StatefulSet", name="theirs"),
        "Ready",
        "QuotaExceeded",
        "allows pods=0 and a pod asks for pods=1",
        before=(
            *(
                there("v1", "ResourceQuota", name, spec={"hard": {"pods": "0"}})
                for name in ("cc", "aa", "bb")
            ),
            their_set(),
        ),
    ),
    told(
        "attached-set-without-disks",
        attached(kind="StatefulSet", name="theirs"),
        "Ready",
        "QuotaExceeded",
        "ResourceQuota disks allows requests.storage=1Gi",
        before=(
            there("v1", "ResourceQuota", "disks", spec={"hard": {"requests.storage": "1Gi"}}),
            there(
                "apps/v1", "StatefulSet", "theirs", spec={**THEIR_DEPLOYMENT, "volumeClaimTemplates": [DISK]}
            ),
        ),
    ),
    told(
        "attached-set-out-of-range",
        attached(kind="StatefulSet", name="theirs"),
        "Ready",
        "TemplateRefused",
        "maximum cpu usage per Container is 2, but limit is 206, maximum memory usage",
        before=(
            there(
                "v1",
                "LimitRange",
                "small",
                spec={"limits": [{"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}}]},
            ),
            their_set(containers=[WIDE_CONTAINER]),
        ),
    ),
    told(
        "attached-set-without-cores",
        attached(kind="StatefulSet", name="theirs"),
        "Ready",
        "Unschedulable",
        "asks for 206 cpu",
        "1500Gi memory",
        "and no node that otherwise fits",
        before=(their_set(containers=[WIDE_CONTAINER]),),
    ),
    told(
        "attached-set-gated",
        attached(kind="StatefulSet", name="theirs"),
        "Ready",
        "SchedulingGated",
        "(example.com/licence)",
        before=(their_set(schedulingGates=[{"name": "example.com/licence"}]),),
    ),
    told(
        "attached-by-half",
        attached(name="theirs"),
        "Attached",
        "AsDeclared",
        "no agent acts on its pods",
        "tier in (a,b)",
        before=(
            there(
                "apps/v1",
                "Deployment",
                "theirs",
                spec={
                    "replicas": 0,
                    "selector": {
                        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]
                    },
                    "template": {"metadata": {"labels": {"tier": "a"}}, "spec": THEIR_PODS},
                },
            ),
        ),
    ),
)

REFUSED = (*MODELS, *COUNTS, *SPREADS, *SPLITS, *ENGINES, *PROMISES, *RETENTION, *ATTACHMENTS)
LATE = (
    told(
        "scheduler-missing",
        template(schedulerName="volcano"),
        "Ready",
        "NotScheduled",
        "the scheduler volcano, which has reported nothing about it",
    ),
)
"""What is told half a minute after the pod was made, so this is made first and looked at last."""

TOLD = (*TEMPLATES, *NOTES, *CLUSTERS, *FOREIGN, *LATE)


def refusal(bed: Bed, body: Object) -> str:
    """The API server's sentence, as kubectl would have it: unknown fields are refused too."""
    path = names.INFERENCE_SERVICES.path(namespace="default")
    with pytest.raises(ApiError) as refused:
        bed.client.create(f"{path}?dryRun=All&fieldValidation=Strict", body)
    assert refused.value.code in (400, 422)
    return str(refused.value)


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_the_api_server_refuses(harbour: Bed, change: Object, words: tuple[str, ...]) -> None:
    sentence = refusal(harbour, manifest("chat", change))
    assert [word for word in words if word not in sentence] == [], sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("c" * 54, ("use at most 53",)),
        ("1st", ("beginning with a letter",)),
        ("chat.v2", ("letters, digits and dashes",)),
        ("Chat", ("metadata.name", "lower case")),
        ("chat-", ("metadata.name", "start and end")),
    ],
    ids=["too-long", "a-digit-first", "a-dot", "a-capital", "a-dash-last"],
)
def test_a_name_that_no_pod_could_bear_is_refused(harbour: Bed, name: str, words: tuple[str, ...]) -> None:
    sentence = refusal(harbour, manifest(name, {}))
    assert [word for word in words if word not in sentence] == [], sentence


@pytest.fixture(scope="module")
def taken(harbour: Bed, operator: LoneOperator) -> Iterator[Callable[[str], str]]:
    """All that is taken, each in a namespace of its own; gives the namespace of one."""
    namespaces = {row.id: f"bad-{row.id}" for row in TOLD}
    for row in reversed(TOLD):
        id, change, _, _, _, before = row.values
        harbour.apply([there("v1", "Namespace", namespaces[id])])
        for body in (*before, manifest(id, change)):
            harbour.apply([{**body, "metadata": {**body["metadata"], "namespace": namespaces[id]}}])
            eventually(partial(_counted, harbour, body, namespaces[id]))
    yield namespaces.__getitem__
    for namespace in namespaces.values():
        for one in harbour.client.get(names.INFERENCE_SERVICES.path(namespace=namespace))["items"]:
            harbour.client.delete(names.INFERENCE_SERVICES.path(one["metadata"]["name"], namespace=namespace))
        harbour.client.delete(f"/api/v1/namespaces/{namespace}")


@pytest.mark.parametrize(("id", "change", "type", "reason", "words", "before"), TOLD)
def test_the_status_says(
    harbour: Bed,
    taken: Callable[[str], str],
    id: str,
    change: Object,
    type: str,
    reason: str,
    words: tuple[str, ...],
    before: tuple[Object, ...],
) -> None:
    def check() -> None:
        text = says(harbour, id, type, namespace=taken(id), reason=reason)["message"]
        assert [word for word in words if word not in text] == [], text

    eventually(check, patience_s=60.0)


def sentences(bed: Bed) -> dict[tuple[str, str], tuple[str, str, str]]:
    """What is said of each service in each condition: status, reason and message."""
    return {
        (f"{one['metadata']['namespace']}/{one['metadata']['name']}", told["type"]): (
            told["status"],
            told["reason"],
            told.get("message", ""),
        )
        for one in bed.client.get(names.INFERENCE_SERVICES.path())["items"]
        for told in one.get("status", {}).get("conditions", ())
    }


@pytest.mark.timeout(300 + FLAPS_S)
def test_no_sentence_flaps(
    harbour: Bed, taken: Callable[[str], str], record_property: Callable[[str, Any], None]
) -> None:
    """Every mistake of the table stands all the time; what is said of it is said once.

    A sentence may change once in the time: the scheduler looks again at pods that it can't place after five
    minutes, and by then others have taken what was free. Twice is to and fro.
    """
    settled, before = 0, sentences(harbour)
    for _ in range(SETTLING_LOOKS):
        time.sleep(LOOK_S)
        now = sentences(harbour)
        settled, before = (settled + 1 if now == before else 0), now
        if settled == SETTLED_LOOKS:
            break
    turns: dict[tuple[str, str], list[str]] = {}
    for _ in range(round(FLAPS_S / LOOK_S)):
        time.sleep(LOOK_S)
        now = sentences(harbour)
        for key in now:
            if now[key] != before.get(key):
                turns.setdefault(key, []).append(f"{before.get(key)} -> {now[key]}")
        before = now
    flaps = {key: said for key, said in turns.items() if len(said) > 1}
    record_property("services", len({key for key, _ in before}))
    record_property("turned_once", len(turns) - len(flaps))
    record_property("flaps", sum(len(said) - 1 for said in flaps.values()))
    assert flaps == {}


def test_a_template_keeps_its_hands_off_our_labels(harbour: Bed, operator: LoneOperator) -> None:
    labels = {names.SERVICE_LABEL: "another", "team": "blue"}
    harbour.apply([manifest("labelled", {"template": {"metadata": {"labels": labels}, "spec": {}}})])
    eventually(lambda: says(harbour, "labelled", "Ready", status="True"))
    (pod,) = pods_of(harbour, name="labelled")
    assert pod["metadata"]["labels"]["team"] == "blue"
    harbour.client.delete(names.INFERENCE_SERVICES.path("labelled", namespace="default"))


def test_one_table_holds_more_than_sixty_bad_manifests() -> None:
    ids = [row.id for row in (*REFUSED, *TOLD)]
    assert len(ids) > 120
    assert len(set(ids)) == len(ids)


def _counted(bed: Bed, body: Object, namespace: str) -> None:
    """A quota counts for the API server once its controller has looked at it."""
    if body["kind"] == "ResourceQuota":
        path = f"/api/v1/namespaces/{namespace}/resourcequotas/{body['metadata']['name']}"
        assert bed.client.get(path).get("status", {}).get("used")
