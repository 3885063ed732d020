"""
What an engine serves and is started with: the model, its limits, its arguments.

What can't work is refused here, with the field and the fix: an engine that only fails
once it has loaded its weights costs its owner a quarter of an hour. So the address of a
model is checked by its scheme, and an argument that would contradict another field is
not taken in any of the forms in which the engine takes it (`engine_options`).
"""

from collections.abc import Iterable
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from loadline_api.engine_options import forms
from loadline_api.quantities import INT32
from loadline_api.schemas import Spec, rule, validations

FROM_FIELDS = (
    "--model",
    "--revision",
    "--served-model-name",
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--data-parallel-size",
    "--enable-expert-parallel",
    "--max-model-len",
    "--max-num-seqs",
    "--kv-cache-dtype",
)
"""Arguments of vLLM that follow from fields of the spec."""

FROM_OPERATOR = (
    "--host",
    "--port",
    "--uds",
    "--config",
    "--nnodes",
    "--node-rank",
    "--master-addr",
    "--master-port",
    "--headless",
    "--kv-transfer-config",
    "--grpc",
    "--data-parallel-multi-port-external-lb",
)
"""Arguments of vLLM by which the operator joins engines to each other, to probes and to routers.

The last two have the engine speak another protocol, or at other ports.
"""

NEVER_SPLIT = ("--enable-return-routed-experts", "--use-replayssm", "--prefill-context-parallel-size")
"""Arguments of vLLM that its KV transfer refuses in one of the two phases."""

_CREDENTIALS = (
    "self.uri.matches('^[A-Za-z][A-Za-z0-9+.-]*://[^/]*@')"
    " && (!self.uri.startsWith('hf://') || self.uri.matches('^hf://([^/]*:[^/]*|hf_[A-Za-z0-9]{16,})@'))"
    " && !self.uri.matches('^oci://[^/@]+@sha(256|512):')"
)
"""Whether a user, a password or a token stands before the host; digests and revisions come after a name."""

PASSWORD_IN_URL = "[A-Za-z][A-Za-z0-9+.-]*://[^/@[:space:]]*:[^/@[:space:]]+@"
"""A user and a password in an address, wherever in a text."""

TLS = ("--ssl-certfile", "--ssl-keyfile")
"""Arguments of vLLM by either of which the engine serves TLS."""

HF_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"

Argument = Annotated[str, Field(min_length=1, max_length=1024)]
"""One argument of the engine's command line, as `--name=value`."""

ONE_ENTRY = "^--[A-Za-z][^=[:space:]]*(=|$)"
"""An argument in one entry; the engine reads a blank before the `=` as part of the name."""

Tokens = Annotated[int, Field(strict=True, ge=1, le=100_000_000, json_schema_extra=INT32)]
"""A length in tokens."""


CLIENTS_PROVED = forms(("--ssl-cert-reqs",)).removesuffix("([=.]|$)") + "=2$"
"""The argument by which the engine serves only those that prove who they are."""


def _argument(names: Iterable[str], fix: str) -> JsonDict:
    """The rule that refuses arguments of these names."""
    found = f"self.arguments.filter(a, a.matches('{forms(names)}'))"
    return rule(
        f"{found}.size() == 0",
        says=f"'engine.arguments has %s, {fix}'.format([{found}[0]])",
        at=".arguments",
    )


def _uri(scheme: str, *, rest: str, fix: str) -> JsonDict:
    """The rule of addresses of one scheme."""
    return rule(
        f"{_CREDENTIALS} || !self.uri.startsWith('{scheme}://') || self.uri.matches('^{scheme}://{rest}$')",
        says=f"'model.uri is %s: {fix}'.format([self.uri])",
        at=".uri",
    )


class Model(Spec):
    """What is served."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                f"!({_CREDENTIALS})",
                message="model.uri has a user, a password or a token before the host, visible to everyone who"
                " may read this service: remove it, and set HF_TOKEN from a Secret, or"
                " imagePullSecrets, in template",
                at=".uri",
            ),
            rule(
                f"{_CREDENTIALS} || self.uri.matches('^(hf|pvc|oci|file)://')",
                says="'model.uri is %s: begin it with hf://, pvc://, oci:// or file://'.format([self.uri])",
                at=".uri",
            ),
            _uri(
                "hf",
                rest=f"({HF_NAME}/)?{HF_NAME}(@[A-Za-z0-9][A-Za-z0-9._/-]*)?",
                fix="write hf://ORG/MODEL[@REVISION]",
            ),
            _uri(
                "pvc",
                rest="[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^[:space:]]*)?",
                fix="write pvc://CLAIM[/PATH], where CLAIM is the name of a PersistentVolumeClaim",
            ),
            _uri(
                "oci",
                rest="[A-Za-z0-9][A-Za-z0-9._:@/-]*[A-Za-z0-9]",
                fix="write oci://IMAGE[/PATH], where IMAGE is an image reference as in a pod",
            ),
            _uri("file", rest="/[^[:space:]]+", fix="write file:///PATH, an absolute path in the pod"),
            rule(
                "!self.uri.matches('/[.][.](/|$)')",
                says="'model.uri is %s: remove /.., which leaves the directory of the model'"
                ".format([self.uri])",
                at=".uri",
            ),
            rule(
                "!has(self.name) || self.name.matches('^[^[:space:],]+$')",
                says="'model.name is \"%s\": remove spaces and commas; clients send this name in requests'"
                ".format([self.name])",
                at=".name",
            ),
        )
    )

    uri: str = Field(
        min_length=1,
        max_length=1024,
        description="Where the weights are: hf://ORG/MODEL[@REVISION], pvc://CLAIM[/PATH], oci://IMAGE[/PATH]"
        " or file:///PATH, which is a path in the pod.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Model name in clients' requests; defaults to the service's name.",
    )


class Engine(Spec):
    """What the engine is started with, beyond the model and its spread."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                f"self.arguments.all(a, a.matches('{ONE_ENTRY}'))",
                says="'engine.arguments has \"%s\": write each argument as one entry, --name=value'"
                f".format([self.arguments.filter(a, !a.matches('{ONE_ENTRY}'))[0]])",
                at=".arguments",
            ),
            rule(
                f"!self.arguments.exists(a, a.matches('{PASSWORD_IN_URL}'))",
                message="engine.arguments has a URL with a password, visible to everyone who may read this"
                " service: set a variable from a Secret in template's env, and write"
                " --name=$(VARIABLE)",
                at=".arguments",
            ),
            _argument(
                FROM_FIELDS,
                "which the operator derives from model, parallelism, engine or kvCache: set that field and"
                " remove the argument",
            ),
            _argument(
                FROM_OPERATOR,
                "which the operator sets, so that probes, routers and other pods reach the engine: remove it",
            ),
            rule(
                f"!self.arguments.exists(a, a.matches('{CLIENTS_PROVED}'))",
                message="engine.arguments makes the engine require a certificate of each client, and the"
                " kubelet's probes and the agents have none: remove --ssl-cert-reqs, or set it to 1",
                at=".arguments",
            ),
        )
    )

    max_model_length: Tokens | None = Field(
        default=None,
        description="Most tokens of a prompt and its answer together; defaults to the model's own limit.",
    )
    max_sequences: Tokens | None = Field(
        default=None,
        description="Most requests that an engine runs at the same time; defaults to the engine's own limit.",
    )
    arguments: tuple[Argument, ...] = Field(
        default=(),
        description="Further arguments of the engine, appended to the operator's, each as --name=value.",
        json_schema_extra={"maxItems": 64, "x-kubernetes-list-type": "atomic"},
    )
