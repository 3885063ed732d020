"""The file of an engine's steps and memory: every section has a source, and the pool follows from the GPU."""

from importlib.resources import files

import pytest
import yaml
from pydantic import ValidationError

from loadline_policies.models import step_parameters

TEXT = files("loadline_policies.models").joinpath(step_parameters.STEP_FILE).read_text("utf-8")
MODEL = step_parameters.load()


def changed(section: str, **values: object) -> str:
    """The file with some values of a section replaced."""
    content = yaml.safe_load(TEXT)
    content[section] |= values
    return yaml.safe_dump(content)


def test_the_pool_at_the_measured_share_is_the_measured_one() -> None:
    assert MODEL.kv_tokens(0.9) == pytest.approx(945_029, abs=1)


def test_a_smaller_share_leaves_less_for_kv_only() -> None:
    lost = MODEL.kv_tokens(0.9) - MODEL.kv_tokens(0.8)
    assert lost == pytest.approx(0.1 * 139.8 * 2**30 / 131_072, abs=1)


def test_weights_and_activations_take_more_than_the_weights_alone() -> None:
    assert 8e9 < MODEL.other_bytes < 16e9


def test_what_is_recalled_says_so() -> None:
    assert "unverified" in step_parameters.parse(TEXT).memory.source


def test_a_section_without_a_source_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"step\.source"):
        step_parameters.parse(changed("step", source=""))


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"step\.turbo"):
        step_parameters.parse(changed("step", turbo=1))
