"""
The plugin's settings, from `LOADLINE_*` variables in the environment of the engine's container.

They say where the engine belongs, and how it reaches the agent of its node. The operator sets them in the
pods that it creates; the owner of an attached workload sets them there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import environ
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadline_api.worker_messages import TOKEN_FILE
from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import fix_of

PREFIX = "LOADLINE_"

PolicyName = Literal["streaming", "key-norm", "key-diff", "random", "trimkv", "chelsea"]
"""Policies that choose the tokens which a bounded request keeps, or merge them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """All that the channel to the agent needs: where the agent is, and who reports."""

    agent: str
    token_file: str
    namespace: str
    service: str
    pool: str
    pod_name: str
    pod_uid: str


class Settings(BaseModel):
    """Where the engine belongs; the variable of a field is `LOADLINE_` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str | None = Field(default=None, max_length=63)
    """Namespace of the InferenceService that the engine belongs to."""

    service: str | None = Field(default=None, max_length=253)
    """Name of the InferenceService; None: the engine belongs to none that the plugin knows of."""

    pool: str | None = Field(default=None, max_length=63)
    """Pool of the InferenceService in which the engine is, such as `main` or `prefill`."""

    pod_name: str | None = Field(default=None, max_length=253)
    """Name of the engine's pod."""

    pod_uid: str | None = Field(default=None, max_length=253)
    """Uid of the engine's pod."""

    agent: str | None = Field(default=None, max_length=512, pattern="^https?://[^/]+/?$")
    """Address of the agent of the node; None: the plugin gets no settings, and its loops do nothing."""

    token_file: str = Field(default=TOKEN_FILE, max_length=512)
    """File with the pod's projected token of audience `loadline-worker`."""

    plugin: bool = True
    """Whether the plugin is enabled; `LOADLINE_PLUGIN=0` disables it."""

    admission: Literal["off", "observe", "enforce"] = "off"
    """How far the engine's scheduler may admit by predicted memory, if it is the plugin's. `off`: it admits
    as vLLM does. `observe`: what would be refused is counted. `enforce`: a policy may let requests wait."""

    experts: Literal["off", "observe", "enforce"] = "off"
    """How far layers of experts may be served. `off`: they stay as vLLM builds them. `observe`: their load is
    counted. `enforce`: a policy may also bound it, which changes what the model answers. Off by default,
    because what counting costs was never measured on a GPU."""

    experts_rounds: int = Field(default=2, ge=1, le=8)
    """The most rounds that rerouting may have."""

    experts_modular: bool = False
    """Whether vLLM is kept from kernels that route by themselves, so that every layer's router is called.
    Those kernels may be faster."""

    experts_least_tokens: int = Field(default=256, ge=1, le=65_536)
    """Tokens of the smallest batch that may count as large. A smaller one costs nearly nothing; on a GPU this
    is decided when a graph is captured, so it can't change at run time."""

    experts_ranks: int | None = Field(default=None, ge=1, le=1_024)
    """Count loads as if the experts were on this many ranks; None: on as many as they are."""

    retention: Literal["off", "observe", "enforce"] = "off"
    """How far the KV memory of requests may be bounded, by dropping or merging tokens of theirs.
    `off`: nothing of it runs. `observe`: no request gets a bound. `enforce`: they may get one."""

    retention_on_probe_failure: Literal["degrade", "refuse"] = "degrade"
    """What an engine does that can't bound its requests though retention is `enforce`. `degrade`: it serves,
    and requests keep all of their tokens. `refuse`: it doesn't start."""

    retention_policy: PolicyName = "streaming"
    """Which tokens stay, or how they are merged."""

    retention_gates: str | None = Field(default=None, max_length=4096)
    """File of gates for the policy `trimkv`, which `loadline kv train-gates` writes for a model."""

    retention_budget_tokens: int | None = Field(default=None, ge=1, le=2**24)
    """Tokens that a request keeps, a multiple of the block size; None: all, unless the agent sets another."""

    retention_most_tokens: int | None = Field(default=None, ge=1, le=2**24)
    """The largest budget of any request; None: some may keep all. With it a model's whole context need not
    fit into the KV memory."""

    retention_buffer_tokens: int = Field(default=256, ge=1, le=2**20)
    """Tokens that are gathered before some are dropped, a multiple of the block size."""

    retention_sink_tokens: int = Field(default=4, ge=0, le=2**20)
    """First tokens of a request that always stay."""

    retention_recent_tokens: int = Field(default=32, ge=0, le=2**20)
    """Last tokens of a request that always stay."""

    retention_protect_tokens: int = Field(default=64, ge=0, le=2**20)
    """First tokens of each prompt that always stay, as a system prompt."""

    @property
    def has_scheduler(self) -> bool:
        """Whether the engine is to be started with the plugin's scheduler."""
        return self.admission != "off" or self.retention != "off"

    @property
    def worker(self) -> Worker | None:
        """What the channel needs; None unless all of it is set."""
        if not (self.agent and self.namespace and self.service and self.pool):
            return None
        if not (self.pod_name and self.pod_uid):
            return None
        return Worker(
            agent=self.agent,
            token_file=self.token_file,
            namespace=self.namespace,
            service=self.service,
            pool=self.pool,
            pod_name=self.pod_name,
            pod_uid=self.pod_uid,
        )


def must_bound(environment: Mapping[str, str] = environ) -> bool:
    """Whether the engine shall not start unless it can bound its requests.

    This is known where other variables are invalid, too.
    """
    asked = (environment.get(PREFIX + name) for name in ("RETENTION", "RETENTION_ON_PROBE_FAILURE"))
    return tuple(asked) == ("enforce", "refuse")


def read(environment: Mapping[str, str] = environ) -> Settings:
    """Read the settings from environment variables; InvalidInput names an invalid variable.

    Other variables with the prefix are ignored: other parts of Loadline use some.
    """
    given = {
        name: value
        for name in Settings.model_fields
        if (value := environment.get(PREFIX + name.upper())) is not None
    }
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = PREFIX + str(fault["loc"][0]).upper()
        raise InvalidInput(name, fault["input"], fix=fix_of(fault)) from error
