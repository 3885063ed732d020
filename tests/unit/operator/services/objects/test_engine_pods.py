"""The pod of an engine, with the parts of the cluster, the service and the pool laid over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.engine_args import Member
from loadline_operator.services.objects.engine_pods import pod_template
from loadline_vllm import settings

CACHED = Defaults(model_cache="/var/lib/models")


def template(
    pool: str = "main", *, defaults: Defaults | None = None, member: Member = Member.SOLE, **spec: Any
) -> Manifest:
    one = InferenceService.parse(
        {
            "metadata": {"name": "chat", "namespace": "serving"},
            "spec": {"model": {"uri": "hf://org/llm"}, **spec},
        }
    )
    described = describe(one, defaults or Defaults())
    found = next(each for each in described.pools if each.name == pool)
    return pod_template(described, found, member=member)


def spec_of(*arguments: str, **spec: Any) -> Manifest:
    made: Manifest = template(*arguments, **spec)["spec"]
    return made


def engine(made: Manifest) -> Manifest:
    found: Manifest = next(one for one in made["containers"] if one["name"] == "vllm")
    return found


def fetcher(made: Manifest) -> Manifest:
    found: Manifest = next(one for one in made["initContainers"] if one["name"] == "fetch-model")
    return found


def values(container: Manifest) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def own(**parts: Any) -> Manifest:
    """A template that changes the engine's container."""
    return {"containers": [{"name": "vllm", **parts}]}


def test_the_pool_is_told_by_labels_that_no_template_takes_away() -> None:
    theirs = {"metadata": {"labels": {"loadline.dev/service": "other", "team": "a"}}}
    labels = template(template=theirs)["metadata"]["labels"]
    assert labels["team"] == "a"
    assert labels["loadline.dev/service"] == labels["app.kubernetes.io/instance"] == "chat"
    assert labels["loadline.dev/pool"] == labels["app.kubernetes.io/component"] == "main"


def test_a_pod_asks_for_the_gpus_of_its_node() -> None:
    spread = {"tensor": 8, "pipeline": 2, "nodes": 2}
    assert engine(spec_of(parallelism=spread))["resources"] == {"limits": {"nvidia.com/gpu": "8"}}
    amd = Defaults(gpu_resource="amd.com/gpu")
    assert engine(spec_of(defaults=amd))["resources"] == {"limits": {"amd.com/gpu": "1"}}


def test_a_start_may_take_half_an_hour_and_a_hang_may_not() -> None:
    one = engine(spec_of())
    patience = {
        name: one[name]["periodSeconds"] * one[name]["failureThreshold"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert patience == {"startupProbe": 1800, "readinessProbe": 15, "livenessProbe": 90}


def test_an_end_leaves_time_for_routers_requests_and_teardown() -> None:
    made = spec_of()
    (drain,) = [one for one in engine(made)["args"] if one.startswith("--shutdown-timeout=")]
    sleep = engine(made)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep >= 5
    assert made["terminationGracePeriodSeconds"] >= sleep + int(drain.partition("=")[2]) + 15


def test_no_service_of_the_namespace_sets_the_engines_variables() -> None:
    assert spec_of()["enableServiceLinks"] is False


def test_an_engine_may_do_nothing_on_its_node_and_knows_no_api() -> None:
    made = spec_of()
    assert made["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert made["automountServiceAccountToken"] is False
    assert made["serviceAccountName"] == "chat-engine"
    for container in (engine(made), fetcher(made)):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_last_words_of_a_container_are_kept() -> None:
    made = spec_of()
    told = [one["terminationMessagePolicy"] for one in (engine(made), fetcher(made))]
    assert told == ["FallbackToLogsOnError"] * 2


def test_home_and_shared_memory_can_be_written() -> None:
    made = spec_of()
    mounted = {one["mountPath"]: one for one in engine(made)["volumeMounts"]}
    volumes = {one["name"]: one for one in made["volumes"]}
    assert volumes[mounted["/dev/shm"]["name"]]["emptyDir"] == {"medium": "Memory"}
    home = values(engine(made))["HOME"]
    assert volumes[mounted[home]["name"]] == {"name": "home", "emptyDir": {}}


@pytest.mark.parametrize("defaults", [Defaults(), CACHED])
def test_the_model_is_fetched_first_and_then_only_read(defaults: Defaults) -> None:
    made = spec_of(defaults=defaults)
    first, then = fetcher(made), engine(made)
    mounts = {one["mountPath"]: one for one in first["volumeMounts"]}
    assert first["command"][:3] == ["hf", "download", "org/llm"]
    assert values(first)["HF_HUB_CACHE"] == values(then)["HF_HUB_CACHE"] == "/models-cache"
    assert "readOnly" not in mounts["/models-cache"]
    assert {one["mountPath"]: one for one in then["volumeMounts"]}["/models-cache"]["readOnly"] is True
    assert values(then)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in values(first)


@pytest.mark.parametrize("uri", ["pvc://weights/llm", "oci://registry.example/llm:v1", "file:///models/tiny"])
def test_what_is_there_already_is_not_fetched(uri: str) -> None:
    made = spec_of(model={"uri": uri})
    assert "initContainers" not in made
    assert "HF_HUB_OFFLINE" not in values(engine(made))


def test_the_fetcher_sees_what_the_engine_sees_but_takes_no_gpu() -> None:
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    parts = own(
        image="mine:1",
        env=[token, {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        envFrom=[{"configMapRef": {"name": "mirror"}}],
        resources={"limits": {"memory": "64Gi"}, "requests": {"cpu": "8", "rdma/ib": "1"}},
        volumeMounts=[{"name": "ca", "mountPath": "/etc/ssl/mine"}],
    )
    first = fetcher(spec_of(template={**parts, "volumes": [{"name": "ca", "configMap": {"name": "ca"}}]}))
    assert first["image"] == "mine:1"
    assert values(first)["HF_TOKEN"] == token["valueFrom"]
    assert values(first)["HTTPS_PROXY"] == "http://proxy:3128"
    assert first["envFrom"] == [{"configMapRef": {"name": "mirror"}}]
    assert {"name": "ca", "mountPath": "/etc/ssl/mine"} in first["volumeMounts"]
    assert first["resources"] == {"limits": {"memory": "64Gi"}, "requests": {"cpu": "8"}}


def test_the_fetchers_last_words_have_no_colours() -> None:
    assert values(fetcher(spec_of()))["NO_COLOR"] == "1"


def test_a_user_who_says_offline_is_offline_in_both() -> None:
    made = spec_of(template=own(env=[{"name": "HF_HUB_OFFLINE", "value": "0"}]))
    assert values(engine(made))["HF_HUB_OFFLINE"] == values(fetcher(made))["HF_HUB_OFFLINE"] == "0"


def test_the_users_init_containers_come_after_ours_or_over_it() -> None:
    theirs = [
        {"name": "warm", "image": "warm:1"},
        {"name": "fetch-model", "command": ["cp", "-r", "/a", "/b"]},
    ]
    first, second = spec_of(template={"initContainers": theirs})["initContainers"]
    assert (first["name"], first["command"]) == ("fetch-model", ["cp", "-r", "/a", "/b"])
    assert first["image"] == Defaults().engine_image
    assert second == {"name": "warm", "image": "warm:1"}


EGRESS = {"name": "egress", "image": "proxy:1", "restartPolicy": "Always"}
WARM = {"name": "warm", "image": "warm:1"}
FETCH = {"name": "fetch-model"}


@pytest.mark.parametrize(
    ("theirs", "order"),
    [
        ([EGRESS], ["egress", "fetch-model"]),
        ([EGRESS, FETCH], ["egress", "fetch-model"]),
        ([FETCH, EGRESS], ["fetch-model", "egress"]),
        ([WARM, EGRESS], ["egress", "fetch-model", "warm"]),
        ([WARM, FETCH], ["fetch-model", "warm"]),
        ([EGRESS, WARM, {**EGRESS, "name": "mesh"}], ["egress", "mesh", "fetch-model", "warm"]),
    ],
    ids=lambda names: " ".join(one if isinstance(one, str) else one["name"] for one in names),
)
def test_sidecars_are_up_before_the_fetch(theirs: list[Manifest], order: list[str]) -> None:
    made = spec_of(template={"initContainers": theirs})["initContainers"]
    assert [one["name"] for one in made] == order
    over = spec_of(defaults=Defaults(engine_template={"initContainers": theirs}))["initContainers"]
    assert [one["name"] for one in over] == order


DRAFT = '--speculative-config={"model":"org/draft","num_speculative_tokens":3}'


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"arguments": [DRAFT]}},
        {"engine": {"arguments": ["--tokenizer=org/draft"]}},
        {"engine": {"arguments": ["--lora-modules=a=org/draft"]}},
        {"template": own(args=["--model=org/llm", DRAFT])},
        {"template": own(command=["sh", "-c", f"vllm serve org/llm '{DRAFT}'"])},
    ],
    ids=str,
)
def test_what_an_engine_loads_beside_its_model_is_fetched_into_the_same_cache(spec: Manifest) -> None:
    made = spec_of(defaults=CACHED, **spec)
    script = fetcher(made)["command"][-1]
    assert [line.split()[2] for line in script.splitlines()] == ["org/llm", "org/draft"]
    assert values(engine(made))["HF_HUB_OFFLINE"] == "1"


def test_each_pool_fetches_what_its_own_engines_load() -> None:
    split = {"prefill": {"replicas": 1, "template": own(args=["--model=org/llm", DRAFT])}, "router": {}}
    assert "org/draft" in fetcher(spec_of("prefill", **split))["command"][-1]
    assert fetcher(spec_of("main", **split)) == fetcher(spec_of("main", prefill={"replicas": 1}, router={}))


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"arguments": ["--tokenizer=$(TOKENIZER)"]}},
        {"engine": {"arguments": ["--speculative-config=nonsense"]}},
        {"template": own(env=[{"name": "HF_HUB_OFFLINE", "value": "0"}])},
    ],
    ids=str,
)
def test_an_engine_of_which_that_is_not_known_reaches_the_hub_and_can_keep_what_it_gets(
    spec: Manifest,
) -> None:
    one = engine(spec_of(**spec))
    assert values(one).get("HF_HUB_OFFLINE", "0") == "0"
    assert {"name": "model-cache", "mountPath": "/models-cache"} in one["volumeMounts"]


def test_a_model_that_is_mounted_leaves_the_engine_online_for_the_rest() -> None:
    made = spec_of(model={"uri": "pvc://weights"}, engine={"arguments": [DRAFT]})
    assert "initContainers" not in made
    assert "HF_HUB_OFFLINE" not in values(engine(made))


@pytest.mark.parametrize(
    ("theirs", "becomes"),
    [
        ({"value": "a,b"}, "a,b,loadline"),
        ({"value": "loadline,a"}, "a,loadline"),
        ({"value": ""}, "loadline"),
        ({"valueFrom": {"configMapKeyRef": {"name": "p", "key": "k"}}}, None),
    ],
)
def test_our_plugin_joins_a_list_of_plugins(theirs: Manifest, becomes: str | None) -> None:
    chosen = values(engine(spec_of(template=own(env=[{"name": "VLLM_PLUGINS", **theirs}]))))["VLLM_PLUGINS"]
    assert chosen == (theirs["valueFrom"] if becomes is None else becomes)


def test_without_a_list_the_engine_loads_all_plugins() -> None:
    assert "VLLM_PLUGINS" not in values(engine(spec_of()))


def test_templates_are_laid_cluster_first_then_service_then_pool() -> None:
    levels = {
        "defaults": Defaults(engine_template=own(image="cluster", workingDir="/cluster", tty=True)),
        "template": own(image="service", workingDir="/service"),
        "prefill": {"replicas": 1, "template": own(image="pool")},
        "router": {},
    }
    prefill, main = (engine(spec_of(pool, **levels)) for pool in ("prefill", "main"))
    assert [prefill[key] for key in ("image", "workingDir", "tty")] == ["pool", "/service", True]
    assert [main[key] for key in ("image", "workingDir", "tty")] == ["service", "/service", True]


def test_engines_that_hand_over_kv_say_where_they_are() -> None:
    split = {"prefill": {"replicas": 1}, "router": {}}
    for pool in ("prefill", "main"):
        found = values(engine(spec_of(pool, **split)))
        assert found["VLLM_NIXL_SIDE_CHANNEL_HOST"] == {"fieldRef": {"fieldPath": "status.podIP"}}
        assert found["VLLM_NIXL_SIDE_CHANNEL_PORT"] == "5600"
    assert not any("NIXL" in name for name in values(engine(spec_of())))


def test_our_plugin_is_told_its_place() -> None:
    told = values(engine(spec_of("prefill", prefill={"replicas": 1}, router={})))
    read = settings.read({name: value for name, value in told.items() if isinstance(value, str)})
    assert (read.namespace, read.service, read.pool) == ("serving", "chat", "prefill")


def test_only_the_leader_of_a_group_answers() -> None:
    spread = {"tensor": 8, "nodes": 2}
    leader, follower = (
        engine(spec_of(parallelism=spread, member=one)) for one in (Member.LEADER, Member.FOLLOWER)
    )
    served = {"ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"}
    assert leader.keys() - follower.keys() == served
    assert values(leader)["VLLM_HOST_IP"] == values(follower)["VLLM_HOST_IP"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        key: ANYTHING
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["vllm", "fetch-model", "home"]) | ANYTHING},
                optional={
                    "env": ANYTHING | st.lists(st.fixed_dictionaries({"name": ANYTHING, "value": ANYTHING})),
                    "resources": ANYTHING,
                    "volumeMounts": ANYTHING,
                    "args": ANYTHING,
                    "command": ANYTHING,
                    "ports": ANYTHING
                    | st.lists(
                        st.fixed_dictionaries(
                            {"containerPort": st.integers() | ANYTHING}, optional={"name": ANYTHING}
                        )
                    ),
                    "restartPolicy": ANYTHING,
                },
            ),
            max_size=3,
        )
        for key in ("containers", "initContainers", "volumes")
    },
)


@given(parts=PARTS, whole=st.booleans())
def test_whatever_a_template_holds_makes_a_template(parts: Manifest, whole: bool) -> None:
    made = template(template={"spec": parts} if whole else parts)
    assert made["metadata"]["labels"]["loadline.dev/service"] == "chat"


@given(spec=ANYTHING, metadata=ANYTHING)
def test_even_one_that_is_no_pod_at_all(spec: Any, metadata: Any) -> None:
    made = template(template={"spec": spec, "metadata": metadata})
    assert made["metadata"]["labels"]["loadline.dev/pool"] == "main"


WITH_AGENTS = Defaults(agent_url="http://loadline-agent-workers.loadline-system.svc:9479")


@pytest.mark.parametrize("member", Member)
def test_the_plugin_is_told_its_pod_its_agent_and_a_token_that_nobody_else_takes(member: Member) -> None:
    made = spec_of(defaults=WITH_AGENTS, member=member)
    told = values(engine(made))
    assert told["LOADLINE_AGENT"] == WITH_AGENTS.agent_url
    assert told["LOADLINE_POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert told["LOADLINE_POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    (volume,) = (one for one in made["volumes"] if "projected" in one)
    (source,) = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "loadline-worker"
    (mount,) = (one for one in engine(made)["volumeMounts"] if one["name"] == volume["name"])
    file = f"{mount['mountPath']}/{source['serviceAccountToken']['path']}"
    assert (file, mount["readOnly"]) == (settings.read({}).token_file, True)
    texts = {name: "chat-0" if isinstance(value, dict) else value for name, value in told.items()}
    assert settings.read(texts).worker is not None


EXPERTS_ENV = ("LOADLINE_EXPERTS", "VLLM_PLUGINS")
ADMISSION_ENV = ("LOADLINE_ADMISSION", "VLLM_PLUGINS")
RETENTION_ENV = ("LOADLINE_RETENTION", "VLLM_PLUGINS")
SCHEDULER_ARGUMENT = "--scheduler-cls=loadline_vllm.schedulers.LoadlineScheduler"


@pytest.mark.parametrize(
    ("experts", "told"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ({"mode": "Off", "policyRef": {"name": "careful"}}, (None, None)),
        ({"mode": "Observe"}, ("observe", "loadline")),
        ({"mode": "Enforce"}, ("enforce", "loadline")),
    ],
    ids=str,
)
@pytest.mark.parametrize("member", Member)
def test_experts_are_counted_where_the_service_asks_for_it(
    member: Member, experts: Manifest | None, told: tuple[str | None, str | None]
) -> None:
    asked = {"experts": experts} if experts is not None else {}
    found = values(engine(spec_of(defaults=WITH_AGENTS, member=member, slo={"itlMs": 50}, **asked)))
    assert tuple(map(found.get, EXPERTS_ENV)) == told


@pytest.mark.parametrize(
    ("cache", "told"),
    [
        (None, (None, None)),
        ({"dtype": "fp8"}, (None, None)),
        ({"admission": {}}, (None, None)),
        ({"admission": {"mode": "Off", "reservePercent": 9}}, (None, None)),
        ({"admission": {"mode": "Observe"}}, ("observe", "loadline")),
        ({"admission": {"mode": "Enforce"}}, ("enforce", "loadline")),
    ],
    ids=str,
)
@pytest.mark.parametrize("member", Member)
def test_engines_run_our_scheduler_where_the_service_asks_for_it(
    member: Member, cache: Manifest | None, told: tuple[str | None, str | None]
) -> None:
    asked = {"kvCache": cache} if cache is not None else {}
    found = engine(spec_of(defaults=WITH_AGENTS, member=member, **asked))
    assert tuple(map(values(found).get, ADMISSION_ENV)) == told
    assert (SCHEDULER_ARGUMENT in found["args"]) is (told[0] is not None)


@pytest.mark.parametrize(
    ("retention", "told"),
    [
        ({}, (None, None)),
        ({"mode": "Off", "budgetTokens": 512}, (None, None)),
        ({"mode": "Observe"}, ("observe", "loadline")),
        ({"mode": "Enforce", "budgetTokens": 512}, ("enforce", "loadline")),
    ],
    ids=str,
)
@pytest.mark.parametrize("member", Member)
def test_engines_bound_requests_where_the_service_asks_for_it(
    member: Member, retention: Manifest, told: tuple[str | None, str | None]
) -> None:
    found = engine(spec_of(defaults=WITH_AGENTS, member=member, kvCache={"retention": retention}))
    assert tuple(map(values(found).get, RETENTION_ENV)) == told
    assert (SCHEDULER_ARGUMENT in found["args"]) is (told[0] is not None)
    budget = values(found).get("LOADLINE_RETENTION_BUDGET_TOKENS")
    assert budget == ("512" if told[0] == "enforce" else None)


def test_all_loops_list_the_plugin_and_the_scheduler_once() -> None:
    cache = {"admission": {"mode": "Observe"}, "retention": {"mode": "Observe"}}
    found = engine(spec_of(defaults=WITH_AGENTS, experts={"mode": "Observe"}, kvCache=cache))
    named = [one["name"] for one in found["env"]]
    loops = (*EXPERTS_ENV, "LOADLINE_ADMISSION", "LOADLINE_RETENTION")
    assert [named.count(one) for one in loops] == [1, 1, 1, 1]
    assert found["args"].count(SCHEDULER_ARGUMENT) == 1


@pytest.mark.parametrize(
    ("theirs", "plugins"),
    [
        ({"name": "VLLM_PLUGINS", "value": "lora_resolver"}, "lora_resolver,loadline"),
        ({"name": "VLLM_PLUGINS", "value": "loadline"}, "loadline"),
        ({"name": "HOME", "value": "/tmp"}, "loadline"),
    ],
    ids=["others", "ours", "none"],
)
def test_plugins_that_a_template_lists_are_kept_beside_ours(theirs: Manifest, plugins: str) -> None:
    made = spec_of(defaults=WITH_AGENTS, experts={"mode": "Observe"}, template=own(env=[theirs]))
    assert values(engine(made))["VLLM_PLUGINS"] == plugins


def test_without_agents_nothing_can_act_so_all_plugins_are_loaded() -> None:
    cache = {"admission": {"mode": "Observe"}, "retention": {"mode": "Observe"}}
    found = engine(spec_of(experts={"mode": "Observe"}, kvCache=cache))
    assert not values(found).keys() & {*EXPERTS_ENV, *ADMISSION_ENV, *RETENTION_ENV}
    assert SCHEDULER_ARGUMENT not in found["args"]


def test_whoever_fetches_the_model_has_no_token() -> None:
    mounts = fetcher(spec_of(defaults=WITH_AGENTS))["volumeMounts"]
    assert "loadline-worker" not in {one["name"] for one in mounts}


def test_without_agents_the_plugin_is_told_of_none() -> None:
    made = spec_of()
    assert not any(name == "LOADLINE_AGENT" for name in values(engine(made)))
    assert not any("projected" in one for one in made["volumes"])
