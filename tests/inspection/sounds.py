"""Sounds for tests: music of notes and beats that is alike in kind and never twice the same."""

import numpy as np

RATE = 8_000
SCALE = 220 * 2 ** (np.array([0, 2, 3, 5, 7, 8, 10, 12, 14, 15, 17, 19]) / 12)


def music(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Plucked notes over a bass and soft strokes of noise at uneven times, float32, peak 0.7."""
    generator = np.random.default_rng(seed)
    count = round(seconds * rate)
    sound = np.zeros(count + 2 * rate)
    at = 0.0
    while at < seconds:
        length = generator.uniform(0.3, 0.9)
        time = np.arange(round(length * rate)) / rate
        start = round(at * rate)
        pitch = generator.choice(SCALE)
        voices = [(1, 1.0), (2, generator.uniform(0.1, 0.6)), (3, generator.uniform(0.05, 0.3))]
        note = sum(loud * np.sin(2 * np.pi * pitch * order * time) for order, loud in voices)
        sound[start : start + len(time)] += note * np.exp(-time * generator.uniform(4, 9)) * generator.uniform(0.3, 1)
        bass = 0.5 * np.sin(np.pi * generator.choice(SCALE[:5]) * time) * np.exp(-4 * time)
        sound[start : start + len(time)] += bass
        if generator.random() < 0.6:
            stroke = generator.standard_normal(rate // 10) * np.exp(-np.arange(rate // 10) / (0.02 * rate))
            sound[start : start + len(stroke)] += 0.3 * stroke
        at += generator.uniform(0.11, 0.34)
    sound = sound[:count] + 0.001 * generator.standard_normal(count)
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)


def sweep(seconds: float, low: float, high: float, rate: int = RATE) -> np.ndarray:
    """A sine that rises evenly from `low` to `high` Hz, float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (low * time + (high - low) * time**2 / (2 * seconds)))).astype(np.float32)
