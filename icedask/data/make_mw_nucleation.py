"""Cut the demo trajectory from the two runs that it joins.

    python make_mw_nucleation.py NUCLEATION.lammpstrj.gz GROWTH.lammpstrj.gz OUT.lammpstrj.gz

The runs (protocol in README.md here) are 4,096 mW molecules at 200 K, a frame each 40 ps, and at
218 K from the last frame of the first, a frame each 20 ps. The cut takes one frame each 80 ps and
counts the steps of 10 fs on from one run to the next.
"""

import gzip
import sys
from itertools import islice
from pathlib import Path

NUCLEATION_FRAMES = range(0, 116, 2)
GROWTH_FRAMES = range(2, 51, 4)
LAST_NUCLEATION_STEP = 460_000


def frames(path: str) -> list[list[str]]:
    """Return the lines of each frame."""
    found = []
    with gzip.open(path, "rt") as file:
        while head := list(islice(file, 9)):
            found.append(head + list(islice(file, int(head[3]))))
    return found


def shift(frame: list[str], steps: int) -> str:
    """Return the text of a frame with its step number moved on."""
    return "".join([frame[0], f"{int(frame[1]) + steps}\n", *frame[2:]])


def main(nucleation: str, growth: str, out: str) -> None:
    """Write the cut."""
    first, second = frames(nucleation), frames(growth)
    text = "".join(
        [shift(first[i], 0) for i in NUCLEATION_FRAMES]
        + [shift(second[i], LAST_NUCLEATION_STEP) for i in GROWTH_FRAMES]
    )
    # No time stamp and no name: the same input gives the same bytes.
    with Path(out).open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
