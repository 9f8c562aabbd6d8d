"""The rooms joined into what people do: train, load, generate, evaluate, check."""

from unrolled.api.checking import check
from unrolled.api.evaluation import evaluate
from unrolled.api.run import Run, load
from unrolled.api.training import train

__all__ = ["Run", "check", "evaluate", "load", "train"]
