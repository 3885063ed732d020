"""The model of an attached workload is read from what its engine is told, or stays unknown."""

from typing import Any

import pytest

from loadline_operator.services.served_models import model_in


def pods(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "proxy", "image": "x"}, {"name": "e", **container}]}}


@pytest.mark.parametrize(
    ("container", "model"),
    [
        ({"args": ["--model=org/llm", "--port=8000"]}, "org/llm"),
        ({"args": ["--port", "8000", "--model", "org/llm"]}, "org/llm"),
        ({"command": ["vllm", "serve", "org/llm", "--tensor-parallel-size", "8"]}, "org/llm"),
        ({"command": ["/opt/venv/bin/vllm", "serve"], "args": ["/models/llm"]}, "/models/llm"),
        ({"command": ["sh", "-c", "sleep 1 && vllm serve 'org/llm' --port 8000"]}, "org/llm"),
        ({"command": ["python3", "-m", "sglang.launch_server", "--model-path", "org/llm"]}, "org/llm"),
        ({"command": ["sh", "-c", "vllm serve $MODEL"]}, ""),
        ({"args": ["--model=$(MODEL)"]}, ""),
        ({"command": ["nginx", "serve", "x"]}, ""),
        ({"args": ["--model"]}, ""),
        ({"args": [7, None]}, ""),
        ({}, ""),
    ],
)
def test_an_engine_is_told_its_model_in_many_ways(container: dict[str, Any], model: str) -> None:
    assert model_in(pods(**container)) == model


@pytest.mark.parametrize("template", [{}, {"spec": None}, {"spec": {"containers": None}}])
def test_a_template_without_containers_tells_none(template: dict[str, Any]) -> None:
    assert model_in(template) == ""
