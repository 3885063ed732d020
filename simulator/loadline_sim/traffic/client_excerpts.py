"""
Cuts the client windows that ship with the simulator out of ServeGen's.

`python -m loadline_sim.traffic.client_excerpts FILE` reads the windows of one of its pools and writes those
of the largest clients to where they ship, without what isn't read: scales, and digits beyond the fourth.
"""

import csv
import gzip
import lzma
import sys
from collections import defaultdict
from importlib.resources import files
from pathlib import Path
from typing import Final

from loadline_sim.traffic.client_windows import COLUMNS
from loadline_sim.traffic.recordings import CLIENT_WINDOWS

CLIENTS: Final = 20


def cut(rows: list[dict[str, str]]) -> str:
    """The windows of the clients that send the most, as a table."""
    totals: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        totals[row["client"]] += float(row["rate_rps"])
    kept = set(sorted(totals, key=totals.__getitem__)[-CLIENTS:])
    lines = [
        f"{row['client']},{row['window_start_s']},{float(row['rate_rps']):.4g},{row['pattern']},"
        f"{float(row['param1']):.3g}"
        for row in rows
        if row["client"] in kept
    ]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"


def main() -> None:
    """Write the excerpt beside the simulator's other data."""
    with gzip.open(sys.argv[1], "rt", encoding="utf-8") as file:
        text = cut(list(csv.DictReader(file)))
    path = Path(str(files("loadline_sim.data").joinpath(CLIENT_WINDOWS)))
    path.write_bytes(lzma.compress(text.encode(), preset=9))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
