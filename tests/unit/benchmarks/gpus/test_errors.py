"""Where there is no GPU, the commands say so."""

import pytest

from benchmarks.gpus.errors import Unmeasured, refusing
from loadline_policies.errors import HardwareError


@pytest.mark.parametrize("error", [Unmeasured("no torch"), HardwareError("no driver")])
def test_without_a_gpu_there_is_a_sentence_and_status_2(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure() -> int:
        raise error

    assert refusing(measure) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert str(error) in said.err
