"""Each course of the losses gets its own advice."""

import math

from unrolled.training.advice import advice


def course(*nats: float) -> list[tuple[int, float, float]]:
    return [(10 * number, value, 0.01) for number, value in enumerate(nats, 1)]


def test_rising_validation() -> None:
    (line,) = advice(course(2.0, 1.8, 1.9, 1.95, 2.0), 1.2)
    assert "3 evaluations" in line and "1.800 nats at update 20" in line and "dropout" in line
    assert not advice(course(2.0, 1.8, 1.81, 1.82), 1.7)


def test_learned_by_heart() -> None:
    (line,) = advice(course(2.0, 1.8, 1.795), 1.0)
    assert "by heart" in line and "1.000" in line and "1.795" in line


def test_still_falling() -> None:
    (line,) = advice(course(2.0, 1.8, 1.7), 1.6)
    assert "train longer" in line


def test_too_small_a_model() -> None:
    (line,) = advice(course(2.0, 1.8, 1.795), 1.85)
    assert "larger model" in line


def test_all_is_well() -> None:
    assert advice(course(2.0, 1.8, 1.795), 1.7, predictions=40_000) == []


def test_little_or_nothing_held_out() -> None:
    assert "nothing was held out" in advice([], 1.0)[0]
    assert "nothing was held out" in advice(course(math.nan), 1.0)[0]
    (line,) = advice(course(2.0, 1.8, 1.795), 1.7, predictions=900)
    assert "900 symbols only, give or take 0.010" in line
