"""Sequence models with two equal views: train them in parallel, run them step by step."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.api import Run, check, evaluate, load, train

__version__ = "0.1.0"
__all__ = ["Run", "check", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    """Load the Python interface on first use, so that `import unrolled` stays free of torch."""
    if name in __all__:
        from unrolled import api

        return getattr(api, name)
    raise AttributeError(f"module 'unrolled' has no attribute {name!r}")
