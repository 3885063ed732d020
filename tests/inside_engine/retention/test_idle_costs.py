"""An object takes the plugin's class and vLLM's in turns; the figures of pairs of runs."""

import pytest

from benchmarks.kv_retention.idle_costs import NotIdle, TwoSided, judged


class Vllms:
    """A class of vLLM's."""

    def told(self) -> str:
        return "vLLM's"


class Plugins(Vllms):
    """The plugin's, over it."""

    def told(self) -> str:
        return f"the plugin's, over {super().told()}"


def test_an_object_is_of_either_class_and_keeps_its_state() -> None:
    one = Plugins()
    one.steps = 7  # type: ignore[attr-defined]
    part = TwoSided(one, Vllms)
    part.turn(plugin=False)
    assert (one.told(), vars(one)) == ("vLLM's", {"steps": 7})
    part.turn(plugin=True)
    assert (one.told(), vars(one)) == ("the plugin's, over vLLM's", {"steps": 7})


@pytest.mark.parametrize("one", [Vllms(), object()])
def test_an_object_without_the_plugin_has_no_two_sides(one: object) -> None:
    with pytest.raises(NotIdle, match="isn't the plugin's"):
        TwoSided(one, Vllms)


def test_a_pair_is_compared_with_itself_and_noise_with_the_run_before() -> None:
    found = judged([(0.020, 0.021), (0.040, 0.042), (0.020, 0.021)])
    assert found["overhead"] == pytest.approx(0.05)
    assert found["overhead_upper"] == pytest.approx(0.05)
    assert found["step_ms"] == pytest.approx(20.0)
    assert found["noise"] == pytest.approx(0.75)
    assert found["pairs"] == 3
