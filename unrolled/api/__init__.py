"""The rooms joined into what people do: train, load, generate, evaluate, check."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.api.checking import check
    from unrolled.api.evaluation import evaluate
    from unrolled.api.run import Run
    from unrolled.api.runs import load
    from unrolled.api.training import train

__all__ = ["Run", "check", "evaluate", "load", "train"]

PLACES = {
    "Run": "unrolled.api.run",
    "check": "unrolled.api.checking",
    "evaluate": "unrolled.api.evaluation",
    "load": "unrolled.api.runs",
    "train": "unrolled.api.training",
}


def __getattr__(name: str) -> Any:
    """Load each of them on first use, so that what can do without torch does."""
    if name in PLACES:
        return getattr(import_module(PLACES[name]), name)
    raise AttributeError(f"module 'unrolled.api' has no attribute {name!r}")
