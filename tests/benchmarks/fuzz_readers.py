"""Mutated dumps and extended XYZ against strict parsers that were written apart: a table.

    python tests/benchmarks/fuzz_readers.py [N_DUMPS] [N_XYZ] [SEED]

1,400 dumps and 400 files of extended XYZ by default, with fixed seeds. Each is ingested as a user
would. Fails if one is accepted that the strict parser refuses (blank lines apart), if one is read
with other numbers, if an exception is not icedask's own, or if memory grows by more than 300 MB.
Files that the strict parser accepts and icedask refuses are counted and shown: they are refused by
a rule of the store, or are a mistake.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.fuzz import SAMPLES, Outcome, examine, mutated

# MB
MAX_GROWTH = 300


def main() -> int:
    numbers = [int(word) for word in sys.argv[1:]]
    n_dumps, n_xyz, seed = [*numbers, *(1400, 400, 1)[len(numbers) :]]
    start = time.time()
    counts: Counter[tuple[str, str]] = Counter()
    bad: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        # Packages and compiled kernels are there before memory is measured.
        for sample in SAMPLES:
            examine(sample, sample.text, Path(folder), sample.name)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for kind, total in (("dump", n_dumps), ("xyz", n_xyz)):
            samples = [sample for sample in SAMPLES if sample.kind == kind]
            for number in range(total):
                sample = samples[number % len(samples)]
                text, how = mutated(sample, seed, number)
                outcome = examine(sample, text, Path(folder), f"{sample.name} {number} {how}")
                counts[kind, outcome.verdict] += 1
                if outcome.wrong or outcome.verdict == "refused by icedask alone":
                    bad.append(outcome)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    for (kind, verdict), count in sorted(counts.items()):
        print(f"{kind:5s} {verdict:28s} {count}")
    for outcome in bad:
        mark = "WRONG" if outcome.wrong else "note "
        print(f"{mark} {outcome.what}: {outcome.verdict}: {outcome.details}")
    wrong = sum(outcome.wrong for outcome in bad)
    print(f"{wrong} wrong, {growth:.0f} MB of growth, {time.time() - start:.0f} s")
    return int(wrong > 0 or growth > MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
