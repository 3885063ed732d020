"""The parameter file: every section has a source, and what is wrong is named."""

from importlib.resources import files

import pytest
import yaml
from pydantic import ValidationError

from loadline_policies.models import parameters

TEXT = files("loadline_policies.models").joinpath(parameters.DEFAULT_FILE).read_text("utf-8")


def changed(section: str, **values: object) -> str:
    """The parameter file with some values of a section replaced."""
    content = yaml.safe_load(TEXT)
    content[section] |= values
    return yaml.safe_dump(content)


def test_the_row_s_server_draws_its_nameplate() -> None:
    assert parameters.load().max_watts == 5800.0


def test_assumed_clock_laws_say_so() -> None:
    assert parameters.parse(TEXT).clock.source.startswith("unverified")


def test_a_section_without_a_source_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"decode\.source"):
        parameters.parse(changed("decode", source=""))


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"clock\.turbo"):
        parameters.parse(changed("clock", turbo=1))


def test_knots_that_fall_are_refused() -> None:
    with pytest.raises(ValidationError, match="let the knots rise"):
        parameters.parse(changed("prefill", tokens=[128, 64, 512, 1024, 2048, 4096, 8192]))


def test_knots_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValidationError, match="as many seconds and shares as tokens"):
        parameters.parse(changed("prefill", seconds=[0.1]))
