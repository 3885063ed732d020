"""What follows of an engine from what its user tells it, in whichever form and place it is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_operator.services.objects.engine_traits import EngineTraits, HubModel, engine_traits

DRAFT = HubModel("org/draft")
CONFIG = '{"model":"org/draft","num_speculative_tokens":3}'


def traits(*arguments: str, **parts: Any) -> EngineTraits:
    """Of `engine.arguments`, and of a template that gives these parts to the engine's container."""
    templates = [{"containers": [{"name": "vllm", **parts}]}] if parts else []
    return engine_traits(arguments, templates)


def test_an_engine_of_which_nothing_is_said_listens_as_ours_do() -> None:
    assert traits() == EngineTraits(port=8000, tls=False, loads=())
    assert traits("--seed=7", "--enforce-eager") == traits()


@pytest.mark.parametrize(
    "argument", ["--ssl-certfile=/tls/tls.crt", "--ssl_certfile=/tls/tls.crt", "--ssl-k=/tls/tls.key"]
)
def test_an_engine_with_a_certificate_serves_tls(argument: str) -> None:
    assert (traits(argument).scheme, traits(args=[argument]).scheme) == ("https", "https")


@pytest.mark.parametrize(
    "parts",
    [
        {"args": ["--scheduler-cls=my.Scheduler"]},
        {"args": ["--scheduler_cls", "my.Scheduler"]},
        {"args": ["--scheduler-cls=vllm.One", "--scheduler-cl=my.Scheduler"]},
        {"command": ["/bin/sh", "-c", "exec vllm serve /model --scheduler-cls my.Scheduler"], "args": []},
    ],
    ids=str,
)
def test_the_scheduler_that_a_template_names_is_known(parts: dict[str, Any]) -> None:
    assert traits(**parts).scheduler == "my.Scheduler"


@pytest.mark.parametrize("word", ["--worker-cls=my.Worker", "--worker_cls=my.Worker", "--worker-c=my.Worker"])
def test_the_worker_that_a_template_names_is_known(word: str) -> None:
    assert traits(args=[word]).worker == "my.Worker"


@pytest.mark.parametrize(
    ("words", "excluding"),
    [
        (["--seed=7"], ()),
        (["--speculative-config={}"], ("--speculative-config",)),
        (["-sc", "{}"], ("--speculative-config",)),
        (["--spec-method=ngram", "--kv-transfer-config={}"], ("--kv-transfer-config", "--spec-method")),
        (["--decode-context-parallel-size=2"], ("--decode-context-parallel-size",)),
    ],
    ids=str,
)
def test_options_with_which_requests_cannot_be_bounded_are_known(
    words: list[str], excluding: tuple[str, ...]
) -> None:
    assert traits(args=words).excluding == excluding


@pytest.mark.parametrize("argument", ["--ssl-cert=/tls/both.pem", "--ssl-certfile=", "--enable-ssl-refresh"])
def test_one_without_does_not(argument: str) -> None:
    assert traits(argument).scheme == "http"


@pytest.mark.parametrize(
    "parts",
    [
        {"args": ["--port=9000"]},
        {"args": ["--port", "9000"]},
        {"args": ["--por=9000"]},
        {"command": ["vllm", "serve", "/model", "--port", "9000"]},
        {"command": ["/bin/sh", "-c", "exec vllm serve /model --port 9000"], "args": []},
        {"ports": [{"name": "http", "containerPort": 9000}]},
        {"args": ["--port=8000"], "ports": [{"name": "http", "containerPort": 9000}]},
    ],
    ids=str,
)
def test_an_engine_listens_where_its_template_says(parts: dict[str, Any]) -> None:
    assert traits(**parts).port == 9000


@pytest.mark.parametrize(
    "parts",
    [
        {"ports": [{"containerPort": 9000}]},
        {"ports": [{"containerPort": 8000}]},
        {"args": ["--port=$(PORT)"]},
        {"args": ["--port-range=9000"]},
    ],
    ids=str,
)
def test_another_port_beside_it_changes_nothing(parts: dict[str, Any]) -> None:
    assert traits(**parts).port == 8000


@pytest.mark.parametrize(
    "words",
    [
        [f"--speculative-config={CONFIG}"],
        [f"--speculative_config={CONFIG}"],
        [f"--speculative-conf={CONFIG}"],
        ["--speculative-config.model=org/draft"],
        ["--spec-model=org/draft", "--spec-tokens=3"],
    ],
    ids=str,
)
def test_a_draft_is_loaded_however_it_is_told(words: list[str]) -> None:
    assert traits(*words).loads == (DRAFT,)
    assert traits(args=words).loads == (DRAFT,)


def test_a_draft_is_found_in_words_apart_and_in_scripts() -> None:
    assert traits(args=["--seed", "7", "--speculative-config", CONFIG]).loads == (DRAFT,)
    assert traits(args=["-sc", CONFIG]).loads == (DRAFT,)
    script = f"exec vllm serve org/llm --speculative-config '{CONFIG}'"
    assert traits(command=["bash", "-c", script]).loads == (HubModel("org/llm"), DRAFT)


@pytest.mark.parametrize(
    ("argument", "loads"),
    [
        ("--tokenizer=org/words", HubModel("org/words", weights=False)),
        ("--hf-config-path=org/config", HubModel("org/config", weights=False)),
        ("--generation-config=org/config", HubModel("org/config", weights=False)),
        ("--lora-modules=sql=org/sql-lora", HubModel("org/sql-lora")),
        ('--lora-modules={"name": "sql", "path": "org/sql-lora"}', HubModel("org/sql-lora")),
        ('--default-mm-loras={"audio": "org/audio-lora"}', HubModel("org/audio-lora")),
        ("--default-mm-loras.audio=org/audio-lora", HubModel("org/audio-lora")),
        ('--speculative-config={"model":"org/draft","revision":"v2"}', HubModel("org/draft", "v2")),
    ],
)
def test_whatever_else_an_engine_loads_is_known(argument: str, loads: HubModel) -> None:
    assert traits(argument).loads == (loads,)


SCRIPT = """set -e
mkdir -p /tmp/cache; cd /tmp/cache
vllm serve org/llm \\
  --port 9000 \\
  --tokenizer org/words \\
  --ssl-certfile "/tls/my cert.pem"; echo ended
"""


def test_a_script_of_several_lines_is_read() -> None:
    found = traits(command=["/bin/bash", "-c"], args=[SCRIPT])
    assert (found.port, found.tls) == (9000, True)
    assert found.loads == (HubModel("org/llm"), HubModel("org/words", weights=False))


def test_a_script_that_ends_in_the_middle_of_a_word_is_read_as_far_as_it_goes() -> None:
    assert traits(command=["sh", "-c", "vllm serve /m --port 9000 --x 'a"]).port == 9000


def test_several_adapters_are_several() -> None:
    words = ["--lora-modules", "a=org/a", "b=/adapters/b", "c=org/c", "--seed", "1"]
    assert traits(args=words).loads == (HubModel("org/a"), HubModel("org/c"))


@pytest.mark.parametrize(
    "argument",
    [
        '--speculative-config={"method":"ngram","num_speculative_tokens":3}',
        '--speculative-config={"model":"[ngram]"}',
        '--speculative-config={"method":"mtp","num_speculative_tokens":1}',
        '--speculative-config={"model":"my.proposers.Proposer","num_speculative_tokens":1}',
        '--speculative-config={"model":"/drafts/small"}',
        "--tokenizer=./words",
        "--generation-config=vllm",
        "--lora-modules=sql=/adapters/sql",
        '--default-mm-loras={"audio": "s3://bucket/lora"}',
        "--tokenizer-mode=slow",
    ],
)
def test_what_is_no_repository_of_the_hub_is_not_loaded_from_it(argument: str) -> None:
    assert traits(argument).loads == ()


@pytest.mark.parametrize(
    "argument",
    [
        "--tokenizer=$(TOKENIZER)",
        "--speculative-config=$(CONFIG)",
        "--speculative-config=[1]",
        "--lora-modules=a,b",
        "--tokenizer=org/model:Q4_K_M",
    ],
)
def test_what_cannot_be_read_is_not_guessed(argument: str) -> None:
    assert traits(argument).loads is None


WORDS = st.text(max_size=8) | st.sampled_from(["--port", "--tokenizer=x", "--speculative-config={}", "serve"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "method", "revision", "path"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=JSON, name=st.sampled_from(["--speculative-config", "--lora-modules", "--default-mm-loras"]))
def test_any_value_is_read(value: Any, name: str) -> None:
    traits(f"{name}={json.dumps(value)}")


@given(arguments=st.lists(WORDS, max_size=4), command=st.lists(WORDS, max_size=4))
def test_any_words_are_read(arguments: list[str], command: list[str]) -> None:
    traits(*arguments, command=command)
    traits(*arguments, command=["sh", "-c", *command])
