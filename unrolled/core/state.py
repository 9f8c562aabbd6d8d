"""Operations on states.

A state is a value: a tensor, or a tuple or NamedTuple of states, with batch on axis 0 of every tensor. Nothing here
changes its arguments, so keeping a variable is undo, branching and best-of-N.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch

from unrolled.core.shapes import Bool, Int, Tensor

State: TypeAlias = Any


def rebuild(like: State, parts: list[State]) -> State:
    """A tuple of `parts`, of the same type as the tuple `like`."""
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def map_state(function: Callable[..., Tensor], state: State, *others: State) -> State:
    """Apply `function` to the tensors that stand at the same place in each state."""
    if isinstance(state, Tensor):
        return function(state, *others)
    return rebuild(state, [map_state(function, *parts) for parts in zip(state, *others, strict=True)])


def leaves(state: State, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state with their dotted names; the names follow from the structure alone."""
    if isinstance(state, Tensor):
        yield path, state
        return
    for name, part in zip(getattr(state, "_fields", range(len(state))), state, strict=True):
        yield from leaves(part, f"{path}.{name}" if path else str(name))


def unflatten(like: State, tensors: dict[str, Tensor], path: str = "") -> State:
    """The inverse of `dict(leaves(state))`, with the structure of `like`.

    Raises: KeyError if a tensor is missing.
    """
    if isinstance(like, Tensor):
        return tensors[path]
    names = getattr(like, "_fields", range(len(like)))
    parts = [
        unflatten(part, tensors, f"{path}.{name}" if path else str(name))
        for name, part in zip(names, like, strict=True)
    ]
    return rebuild(like, parts)


def take(state: State, rows: Int[Tensor, " n"]) -> State:
    """The rows of a state, in the order of `rows`; a row may be taken more than once."""
    return map_state(lambda leaf: leaf.index_select(0, rows), state)


def put(state: State, rows: Int[Tensor, " n"], part: State) -> State:
    """`state` with its `rows` replaced by the rows of `part`."""
    return map_state(lambda leaf, new: leaf.index_copy(0, rows, new), state, part)


def concat(states: list[State]) -> State:
    """One batch of the rows of several states.

    Axes that differ (source positions of memories) are padded with zeros at the end to the longest; the state's own
    lengths say what is valid.
    """

    def join(*tensors: Tensor) -> Tensor:
        shape = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
        padded = [tensor.new_zeros(tensor.shape[0], *shape) for tensor in tensors]
        for target, tensor in zip(padded, tensors, strict=True):
            target[tuple(slice(size) for size in tensor.shape)] = tensor
        return torch.cat(padded)

    return map_state(join, *states)


def where(rows: Bool[Tensor, " b"], state: State, other: State) -> State:
    """The rows of `state` where `rows` is true, of `other` elsewhere."""

    def choose(leaf: Tensor, alternative: Tensor) -> Tensor:
        return torch.where(rows.view(-1, *[1] * (leaf.ndim - 1)), leaf, alternative)

    return map_state(choose, state, other)


def detach(state: State) -> State:
    """The same values, cut from the graph that made them."""
    return map_state(Tensor.detach, state)


def cast_like(state: State, like: State) -> State:
    """`state` in the dtypes of `like`, so that mixed precision never changes what a state is."""
    return map_state(lambda leaf, old: leaf.to(old.dtype), state, like)


def nbytes(state: State) -> int:
    """Bytes held by the tensors of a state."""
    return sum(leaf.nbytes for _, leaf in leaves(state))
