"""
Somebody else on a node who writes limits: a process with the driver, and nothing of ours in it.

    python -m testbed.live_rows.strangers --watts 400 --every 4

It sets every GPU that its environment shows it to so many watts, every so many seconds, until it is
ended; as a cron job, a tuning script or another agent would.
"""

import argparse
import time

import pynvml  # type: ignore[import-untyped]


def main() -> None:
    """Write until ended."""
    parser = argparse.ArgumentParser(
        prog="python -m testbed.live_rows.strangers", description="Writes power limits, as a stranger would."
    )
    parser.add_argument("--watts", type=float, required=True, help="the limit that it sets")
    parser.add_argument("--every", type=float, required=True, help="seconds between two writes")
    given = parser.parse_args()
    pynvml.nvmlInit()
    gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    while True:
        for gpu in gpus:
            pynvml.nvmlDeviceSetPowerManagementLimit(gpu, round(given.watts * 1000))
        time.sleep(given.every)


if __name__ == "__main__":
    main()
