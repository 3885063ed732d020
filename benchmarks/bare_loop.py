"""
The floor under an agent: a loop over pynvml and nothing else.

Reads the power of every GPU four times a second, with the libraries imported
that an agent can't do without. Runs until it is killed.
"""

import time

import httpx
import prometheus_client
import pynvml  # type: ignore[import-untyped]

FIELDS = [pynvml.NVML_FI_DEV_POWER_INSTANT]
LOADED = (httpx, prometheus_client)


def main() -> None:
    """Sample for ever."""
    pynvml.nvmlInit()
    count = pynvml.nvmlDeviceGetCount()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    while True:
        for handle in handles:
            pynvml.nvmlDeviceGetFieldValues(handle, FIELDS)
        time.sleep(0.25)


if __name__ == "__main__":
    main()
