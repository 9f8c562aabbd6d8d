"""How a model is trained, without a word about what it is."""

import math
from dataclasses import dataclass
from typing import Literal

from unrolled.core.errors import UsageError

AT_LEAST = {
    "steps": 0,
    "rows": 1,
    "length": 1,
    "matrix_every": 1,
    "warmup": 0,
    "evaluate_every": 0,
    "evaluate_symbols": 1,
    "sample_every": 0,
    "patience": 0,
}
AT_LEAST |= dict.fromkeys(("learning_rate", "matrix_rate", "final_rate", "weight_decay", "clip"), 0)
CHOICES = {"schedule": ("cosine", "constant"), "optimiser": ("adamw", "muon"), "precision": ("float32", "bfloat16")}


@dataclass(frozen=True)
class Recipe:
    """Settings of the training loop."""

    steps: int = 1000
    """updates in all"""
    rows: int = 16
    """sequences read side by side in one update"""
    length: int = 64
    """symbols of each row in one update"""
    learning_rate: float = 3e-3
    """peak learning rate of AdamW"""
    matrix_rate: float = 0.04
    """peak learning rate of Muon, for the hidden matrices"""
    matrix_every: int = 2
    """updates from one change of a hidden matrix by Muon to the next, each as large as so many"""
    warmup: int = 50
    """updates in which the learning rates rise to their peak"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """learning rates after the warm-up: half a cosine down to the end, or no change"""
    final_rate: float = 0.0
    """fraction of the peak learning rates that is left at the end of the cosine"""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """AdamW for all parameters, or Muon for the hidden matrices and AdamW for the rest"""
    betas: tuple[float, float] = (0.9, 0.99)
    """decay of AdamW's averages of the gradient and of its square"""
    weight_decay: float = 0.01
    """decoupled decay of tensors with two axes or more, relative to the learning rate"""
    clip: float = 1.0
    """largest norm of the gradient; longer ones are scaled down to it; 0: no limit"""
    evaluate_every: int = 0
    """updates from one evaluation to the next; 0: a dozen evaluations in all, fewer in a short run"""
    sample_every: int = 0
    """updates from one shown sample to the next; 0: one after each evaluation"""
    evaluate_symbols: int = 40_000
    """about how many predictions one evaluation rests on"""
    patience: int = 5
    """stop after so many evaluations without a new best; 0: never"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """arithmetic of the forward pass; bfloat16 pays on GPUs"""

    def __post_init__(self) -> None:
        """Refuse values that no training can use."""
        for name, least in AT_LEAST.items():
            value = getattr(self, name)
            if not least <= value < math.inf:
                raise UsageError(f"{name} is {value}: give a number of at least {least}")
        if self.final_rate > 1:
            raise UsageError(f"final_rate is {self.final_rate}: give a fraction of at most 1")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"betas are {self.betas}: give two numbers from 0 to below 1")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name} is {getattr(self, name)!r}: give one of {', '.join(known)}")


def schedule(recipe: Recipe, step: int, steps: int | None = None) -> float:
    """What the peak learning rates are multiplied by in update `step`, counted from 0, of `steps` in all."""
    steps = recipe.steps if steps is None else steps
    rise = min(1.0, (step + 1) / (recipe.warmup + 1))
    if recipe.schedule == "constant":
        return rise
    done = min(1.0, max(0, step - recipe.warmup) / max(1, steps - recipe.warmup))
    return rise * (recipe.final_rate + (1 - recipe.final_rate) * 0.5 * (1 + math.cos(math.pi * done)))
