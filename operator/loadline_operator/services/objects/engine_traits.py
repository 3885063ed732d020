"""
What the user's own words make of an engine: where it listens, by which scheme, what it loads, who schedules.

Arguments come from `engine.arguments`, or from a template, which may replace all of them or
the command. Whatever they are, the rest must know what they lead to: an engine that serves
TLS is probed and scraped by HTTPS, one that listens elsewhere is asked there, and a draft, a
tokenizer or an adapter of the Hub is fetched as the model is. Words are read by the table of
the engine's options. What can't be read is no guess: `loads` is None then.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from loadline_api.engine_options import Said, said
from loadline_api.engines import HF_NAME, TLS
from loadline_api.kv_cache import SCHEDULER_OPTION
from loadline_api.kv_retention import WORKER_OPTION
from loadline_api.kv_retention_rules import EXCLUDING
from loadline_api.names import ENGINE_CONTAINER, ENGINE_PORT, HTTP_PORT
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.named_ports import number_of
from loadline_operator.services.objects.pod_templates import is_named, lay_over

HUB_ID = re.compile(f"({HF_NAME}/)?{HF_NAME}")
ELSEWHERE = re.compile(r"^([/.~]|[a-z0-9+]+://)")
"""What is loaded from a path or another store, so not from the Hub."""

WITHOUT_DRAFT = frozenset(
    {"ngram", "[ngram]", "ngram_gpu", "suffix", "custom_class", "extract_hidden_states"}
)
"""Ways of guessing ahead that load no model, as a method or in the model's place."""

CLASS = re.compile(r"^[^/.]+([.][^/.]+)+$")
"""A Python class in the place of a draft."""

NOT_READ = frozenset({"auto", "vllm"})
"""Values of `--generation-config` that name no repository."""

SHORT_OF_DRAFT = {"--spec-model": "model", "--spec-method": "method"}
"""Options that say a key of `--speculative-config` by themselves."""

SHELLS = frozenset({"sh", "bash", "ash", "dash"})


class Unreadable(Exception):
    """What an engine loads can't be told from its words."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository of the Hub that an engine loads; of some only what describes a model, not the weights."""

    name: str
    revision: str = ""
    weights: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTraits:
    """Where an engine listens, whether by TLS, and what it loads of the Hub beside its model.

    `loads` is None where that can't be told. `scheduler` and `worker` are the classes that its user's words
    name, empty if they name none; `excluding` are options in them with which requests can't be bounded.
    """

    port: int = ENGINE_PORT
    tls: bool = False
    scheduler: str = ""
    worker: str = ""
    excluding: tuple[str, ...] = ()
    loads: tuple[HubModel, ...] | None = ()

    @property
    def scheme(self) -> str:
        """As probes and URLs write it, in their own case."""
        return "https" if self.tls else "http"


def engine_traits(arguments: Sequence[str], templates: Iterable[Mapping[str, Any]]) -> EngineTraits:
    """What arguments of the user's, or what templates lay over them, make of an engine."""
    engine = _laid(ENGINE_CONTAINER, arguments, templates)
    if engine is None:
        return EngineTraits(loads=None)
    words = _words(engine)
    options = tuple(said(words))
    return EngineTraits(
        port=_port(engine, options),
        tls=any(one.name in TLS and one.value for one in options),
        scheduler=_last(options, SCHEDULER_OPTION),
        worker=_last(options, WORKER_OPTION),
        excluding=tuple(sorted({one.name for one in options} & {*EXCLUDING})),
        loads=_loads(words, options),
    )


def port_of(container: str, templates: Iterable[Mapping[str, Any]]) -> int:
    """Where a container listens that templates may send elsewhere; it names its port as the engine does."""
    laid = _laid(container, (), templates)
    return _port(laid, tuple(said(_words(laid)))) if laid is not None else ENGINE_PORT


def container_of(spec: Any, name: str) -> Manifest | None:
    """A container in a pod's spec, if that has one of that name."""
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    if not is_named(containers):
        return None
    return next((one for one in containers if one.get("name") == name), None)


def _laid(name: str, arguments: Sequence[str], templates: Iterable[Mapping[str, Any]]) -> Manifest | None:
    """A container's words and ports as templates leave them."""
    ports = [{"name": HTTP_PORT, "containerPort": ENGINE_PORT, "protocol": "TCP"}]
    template: Manifest = {"spec": {"containers": [{"name": name, "args": [*arguments], "ports": ports}]}}
    for parts in templates:
        template = lay_over(template, parts)
    return container_of(template.get("spec"), name)


def _words(engine: Manifest) -> list[str]:
    """The words of an engine's command line; of a shell those of its script."""
    parts = (engine.get(key) for key in ("command", "args"))
    words = [one for part in parts if isinstance(part, list) for one in part if isinstance(one, str)]
    if words and words[0].rpartition("/")[2] in SHELLS:
        return [each for word in words[1:] for each in _split(word)]
    return words


def _split(script: str) -> list[str]:
    """The words of a script, commands and their marks apart."""
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return [*lexer]
    except ValueError:
        return script.split()


def _port(container: Manifest, options: Iterable[Said]) -> int:
    """Where a container listens: at the port that its template gives the name, or by its own words."""
    named = number_of(container, HTTP_PORT)
    if named is not None and named != ENGINE_PORT:
        return named
    told = [one.value for one in options if one.name == "--port" and one.value is not None]
    return int(told[-1]) if told and told[-1].isdecimal() and len(told[-1]) < 6 else ENGINE_PORT


def _loads(words: Sequence[str], options: Sequence[Said]) -> tuple[HubModel, ...] | None:
    try:
        return (*_served(words, options), *_described(options), *_draft(options), *_adapters(options))
    except Unreadable:
        return None


def _served(words: Sequence[str], options: Sequence[Said]) -> Iterator[HubModel]:
    """The model itself, where a template says it anew."""
    given = [after for word, after in pairwise(words) if word == "serve" and not after.startswith("-")]
    for name in (*given, *_values(options, "--model")):
        if _is_of_hub(name):
            yield HubModel(name, _last(options, "--revision"))


def _described(options: Sequence[Said]) -> Iterator[HubModel]:
    """What is only read of: a tokenizer, a configuration."""
    for name, revision in (
        ("--tokenizer", "--tokenizer-revision"),
        ("--hf-config-path", "--revision"),
        ("--generation-config", "--revision"),
    ):
        value = _last(options, name)
        if value and value not in NOT_READ and _is_of_hub(value):
            yield HubModel(value, _last(options, revision), weights=False)


def _draft(options: Sequence[Said]) -> Iterator[HubModel]:
    """The model that guesses ahead."""
    told: dict[str, Any] = {}
    for one in options:
        if one.name == "--speculative-config":
            told |= {one.keys[0]: one.value} if one.keys else _mapping(one.value)
        elif one.name in SHORT_OF_DRAFT:
            told[SHORT_OF_DRAFT[one.name]] = one.value
    name = told.get("model")
    if not isinstance(name, str) or {name, str(told.get("method"))} & WITHOUT_DRAFT or CLASS.match(name):
        return
    if _is_of_hub(name):
        yield HubModel(name, str(told.get("revision") or ""))


def _adapters(options: Sequence[Said]) -> Iterator[HubModel]:
    for value in _values(options, "--lora-modules"):
        bare = "=" in value and "," not in value
        yield from _of_paths([value.partition("=")[2] if bare else _mapping(value).get("path")])
    for one in options:
        if one.name == "--default-mm-loras":
            yield from _of_paths([one.value] if one.keys else _mapping(one.value).values())


def _of_paths(paths: Iterable[object]) -> Iterator[HubModel]:
    yield from (HubModel(one) for one in paths if isinstance(one, str) and _is_of_hub(one))


def _is_of_hub(name: str) -> bool:
    """Whether a model is the Hub's; of what may be anything it can't be told."""
    if ELSEWHERE.match(name):
        return False
    if HUB_ID.fullmatch(name):
        return True
    raise Unreadable(name)


def _mapping(value: str | None) -> dict[str, Any]:
    try:
        found = json.loads(value or "{}")
    except ValueError as error:
        raise Unreadable(value) from error
    if not isinstance(found, dict):
        raise Unreadable(value)
    return found


def _values(options: Sequence[Said], name: str) -> list[str]:
    return [one.value for one in options if one.name == name and one.value is not None]


def _last(options: Sequence[Said], name: str) -> str:
    return next(iter(reversed(_values(options, name))), "")
