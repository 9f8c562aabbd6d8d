"""The rooms joined into what people do: train, load, generate, evaluate, check."""

from unrolled.api.run import Run, load
from unrolled.api.training import train

__all__ = ["Run", "load", "train"]
