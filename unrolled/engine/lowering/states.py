"""States between torch and step programs."""

from collections.abc import Mapping

import numpy as np
import torch

from unrolled.core.shapes import Tensor
from unrolled.core.state import State, leaves, unflatten


def named(path: str) -> str:
    """What a program calls the leaf of a state."""
    return f"state.{path}" if path else "state"


def to_arrays(state: State) -> dict[str, np.ndarray]:
    """A copy of the leaves under the names that a program has for them: int64 clocks, float32 (or float64) numbers."""
    found = {}
    for path, leaf in leaves(state):
        wide = leaf.dtype in (torch.int64, torch.float64)
        found[named(path)] = leaf.detach().to("cpu", leaf.dtype if wide else torch.float32).numpy().copy()
    return found


def from_arrays(like: State, arrays: Mapping[str, np.ndarray]) -> State:
    """A state with the structure, dtypes and device of `like`, from a copy of the leaves.

    Raises: KeyError if a leaf is missing.
    """

    def tensor(path: str, leaf: Tensor) -> Tensor:
        return torch.tensor(arrays[named(path)], dtype=leaf.dtype, device=leaf.device)

    return unflatten(like, {path: tensor(path, leaf) for path, leaf in leaves(like)})
