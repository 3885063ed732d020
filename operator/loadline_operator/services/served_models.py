"""
Which model an attached workload serves, as far as its manifest tells, for a column of `kubectl get`.

Engines are told it by an argument, which may lie in the one line of a shell. What names a variable
is no name, and what isn't found stays blank.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

FLAGS = ("--model", "--model-path")
"""vLLM's and SGLang's."""

LONGEST_COMMAND = 16_384
NAME = re.compile(r"[\w./:@-]+")


def model_in(template: Mapping[str, Any]) -> str:
    """The model that the first engine of a pod template is told to serve; empty if none is found."""
    containers = (template.get("spec") or {}).get("containers") or ()
    told = (found for one in containers for found in _told(_words(one)))
    return next((one for one in told if NAME.fullmatch(one)), "")


def _words(container: Mapping[str, Any]) -> list[str]:
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    return " ".join(map(str, words))[:LONGEST_COMMAND].split()


def _told(words: Iterable[str]) -> Iterator[str]:
    before = last = ""
    for word in words:
        bare = word.strip("\"'")
        flag, equals, value = bare.partition("=")
        if equals and flag in FLAGS:
            yield value.strip("\"'")
        elif last in FLAGS or (last == "serve" and before.rpartition("/")[2] == "vllm"):
            yield bare
        before, last = last, bare
