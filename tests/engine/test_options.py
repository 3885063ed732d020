"""The table of the engine's options is that of the pinned one, and reads an argument as its parser does."""

import json
import subprocess

import pytest

from loadline_api.engine_options import BY_NAME, Said, option, said
from testbed.engines import options
from testbed.engines.venvs import ENVIRONMENT, Venv

PARSE = """
import argparse, json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

class Refused(Exception):
    pass

def refuse(parser, message):
    raise Refused(message)

FlexibleArgumentParser.error = refuse
parser = make_arg_parser(FlexibleArgumentParser())
defaults = vars(parser.parse_args([]))
names = {one.dest: one.option_strings for one in parser._actions}
for line in map(json.loads, sys.stdin):
    try:
        told = vars(parser.parse_args(line))
    except Refused:
        print(json.dumps(None))
        continue
    moved = [name for name in told if repr(told[name]) != repr(defaults[name])]
    print(json.dumps([names[one] for one in moved]))
"""

FORMS = (
    "--por=9000",
    "--port=9000",
    "--po=9000",
    "--tensor-parallel=4",
    "--tensor_parallel_size=4",
    "--tensor=4",
    "--served-model=x",
    "--served_model_name=x",
    "--kv-transfer={}",
    "--hf-overrides.rope=1",
    "--hf-over.rope=1",
    "--max-m=4",
    "--max-model=4096",
    "--no-enable-log-d",
    "--enable-expert",
    "--headl",
    "--speculative={}",
    "--spec-model=org/draft",
    "--toke=org/words",
    "--tokenizer=org/words",
    "--ssl-cert=/tls/both.pem",
    "--ssl-certfile=/tls/tls.crt",
    "--grpc",
    "--grp",
    "--such-an-option=1",
)


@pytest.fixture(scope="module")
def read(engine_venv: Venv) -> dict[str, list[str] | None]:
    """The names of the option that the engine's own parser takes each form for; None where it refuses it."""
    done = subprocess.run(
        [engine_venv.python, "-c", PARSE],
        input="\n".join(json.dumps([one]) for one in FORMS),
        env={**ENVIRONMENT, "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "null"))]
    return {form: moved[0] if moved else None for form, moved in zip(FORMS, answers, strict=True)}


@pytest.mark.timeout(300)
def test_the_table_is_that_of_the_pinned_engine(engine_venv: Venv) -> None:
    assert options.read(engine_venv) == options.TABLE.read_text("utf-8"), "run `make engine-options`"


@pytest.mark.parametrize("form", FORMS)
def test_a_form_means_the_option_that_the_engine_takes_it_for(
    form: str, read: dict[str, list[str] | None]
) -> None:
    meant = option(form.partition("=")[0].partition(".")[0])
    taken = read[form]
    assert (meant is None) == (taken is None)
    assert meant is None or taken is None or set(meant.names) == set(taken)


def test_a_word_is_read_with_its_values() -> None:
    words = ["--port", "9000", "--enforce-eager", "--lora-modules", "a=b", "c=d", "-tp", "2", "--x", "y"]
    words += ["--seed", "-1"]
    assert [*said(words)] == [
        Said("--port", value="9000"),
        Said("--enforce-eager"),
        Said("--lora-modules", value="a=b"),
        Said("--lora-modules", value="c=d"),
        Said("--tensor-parallel-size", value="2"),
        Said("--seed", value="-1"),
    ]
    assert BY_NAME["-tp"].name == "--tensor-parallel-size"
