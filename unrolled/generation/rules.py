"""Sampling rules as settings; importable without torch. What they do is in `sampling`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from unrolled.core.errors import UsageError


@dataclass(frozen=True)
class Rules:
    """How the next symbol is drawn; the defaults draw from the model's own distribution."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the most probable symbol (the first one where several tie)."""
    top_k: int = 0
    """Keep the k most probable symbols, the lower index first among equals; 0 keeps all."""
    top_p: float = 1.0
    """Keep the fewest most probable symbols that hold at least this probability; 1 keeps all."""
    min_p: float = 0.0
    """Keep symbols with at least this share of the highest probability; 0 keeps all."""
    typical: float = 1.0
    """Keep the symbols whose information is nearest to the entropy, until they hold this probability; 1 keeps all."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of symbols that have occurred, prompt included; 1 is neutral."""

    def validate(self) -> "Rules":
        """These rules, if every setting can be used.

        Raises: UsageError that names the setting, its value and what it may be.
        """
        for name, allowed, permits in LIMITS:
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and permits(value)):
                raise UsageError(f"{name.replace('_', '-')} {value} cannot be used: pass {allowed}")
        return self

    def changed(self) -> dict[str, float]:
        """The settings that are not neutral."""
        neutral = Rules()
        return {name: getattr(self, name) for name, *_ in LIMITS if getattr(self, name) != getattr(neutral, name)}


LIMITS: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
    ("temperature", "a number from 0 (always the most probable symbol) up", lambda value: value >= 0),
    ("top_k", "a whole number from 0 (keep all symbols) up", lambda value: value >= 0 and value == int(value)),
    ("top_p", "a number above 0 and at most 1 (keep all symbols)", lambda value: 0 < value <= 1),
    ("min_p", "a number from 0 (keep all symbols) to 1", lambda value: 0 <= value <= 1),
    ("typical", "a number above 0 and at most 1 (keep all symbols)", lambda value: 0 < value <= 1),
    ("repetition_penalty", "a number from 0.001 to 1000 (1 is neutral)", lambda value: 0.001 <= value <= 1000),
)
