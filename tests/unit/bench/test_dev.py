"""The figures of `make bench-dev`: how sure a median is."""

from __future__ import annotations

import random

from bench.dev import median_and_bounds


def test_the_bounds_hold_the_true_median_about_as_often_as_they_say() -> None:
    draw = random.Random(7)  # noqa: S311 (no secret)
    held = 0
    for _ in range(400):
        low, middle, high = median_and_bounds([draw.expovariate(1) for _ in range(100)])
        assert low <= middle <= high
        held += low <= 0.6931 <= high  # ln 2, the median of what was drawn
    assert held / 400 >= 0.93


def test_few_values_have_their_extremes_as_bounds() -> None:
    assert median_and_bounds([3.0, 1.0, 2.0]) == (1.0, 2.0, 3.0)
