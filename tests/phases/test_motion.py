"""The rate of a slab's growth and its error, on made-up series."""

from __future__ import annotations

import numpy as np

from icedask.phases.motion import slab_motion


def test_the_error_covers_the_rate_where_frames_resemble_each_other() -> None:
    rng = np.random.default_rng(0)
    n_frames, r = 400, 0.8
    time, height = np.arange(n_frames, dtype=float), np.full(n_frames, 100.0)
    ratios = []
    for _ in range(100):
        noise = np.zeros(n_frames)
        for frame in range(1, n_frames):
            noise[frame] = r * noise[frame - 1] + rng.normal()
        thickness = 40 + 0.05 * time + noise
        place = np.stack([30 - thickness / 2, 30 + thickness / 2], axis=1) % 100
        motion = slab_motion(place, height, time)
        ratios.append((motion.rate - 0.05) / motion.error)
    # One, if errors are right; three, if frames were taken as independent.
    assert 0.7 < np.std(ratios) < 1.4


def test_an_exact_line_has_no_error() -> None:
    time = np.arange(5.0)
    place = np.stack([98 + time, 20 + 3 * time], axis=1) % 100
    motion = slab_motion(place, np.full(5, 100.0), time)
    np.testing.assert_allclose(motion.position, np.stack([98 + time, 120 + 3 * time], axis=1))
    np.testing.assert_allclose([motion.rate, motion.intercept], [2, 22])
    assert motion.error < 1e-9
