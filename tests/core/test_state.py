"""The operations on state trees."""

from typing import Any, NamedTuple

import pytest
import torch

from unrolled.core import state as states
from unrolled.core.protocol import Backbone, advance, scan


class Cache(NamedTuple):
    keys: torch.Tensor
    clock: torch.Tensor


def tree(rows: int = 3, length: int = 2, start: int = 0) -> Any:
    """Tuple, NamedTuple, empty tuple and bare tensor, with values that tell rows apart."""
    keys = torch.arange(start, start + rows * length * 2, dtype=torch.float32).view(rows, length, 2)
    clock = torch.arange(start, start + rows)
    return (Cache(keys, clock), (), clock * 10)


def same(one: Any, other: Any) -> bool:
    mine, theirs = dict(states.leaves(one)), dict(states.leaves(other))
    return mine.keys() == theirs.keys() and all(
        leaf.dtype == theirs[name].dtype and torch.equal(leaf, theirs[name]) for name, leaf in mine.items()
    )


def test_names_follow_from_the_structure() -> None:
    assert [name for name, _ in states.leaves(tree())] == ["0.keys", "0.clock", "2"]


def test_unflatten_inverts_leaves() -> None:
    back = states.unflatten(tree(start=50), dict(states.leaves(tree())))
    assert same(back, tree())
    assert isinstance(back[0], Cache)
    with pytest.raises(KeyError):
        states.unflatten(tree(), {"0.keys": torch.zeros(1)})


def test_map_state_keeps_types_and_refuses_other_structures() -> None:
    doubled = states.map_state(lambda leaf, other: leaf + other, tree(), tree())
    assert isinstance(doubled[0], Cache)
    assert torch.equal(doubled[2], tree()[2] * 2)
    with pytest.raises(ValueError):
        states.map_state(lambda leaf, other: leaf, tree(), tree()[:2])


def test_take_put_and_concat() -> None:
    whole = tree(4)
    twice = states.take(whole, torch.tensor([2, 0, 2]))
    assert twice[2].tolist() == [20, 0, 20]
    assert same(states.put(whole, torch.tensor([1, 3]), states.take(whole, torch.tensor([1, 3]))), whole)
    swapped = states.put(whole, torch.tensor([0, 1]), states.take(whole, torch.tensor([1, 0])))
    assert swapped[2].tolist() == [10, 0, 20, 30]
    halves = [states.take(whole, torch.tensor(rows)) for rows in ([0, 1], [2, 3])]
    assert same(states.concat(halves), whole)


def test_concat_pads_shorter_memories_at_their_end() -> None:
    joined = states.concat([tree(1, 2), tree(2, 4)])
    assert joined[0].keys.shape == (3, 4, 2)
    assert torch.equal(joined[0].keys[0, :2], tree(1, 2)[0].keys[0])
    assert not joined[0].keys[0, 2:].any()


def test_concat_keeps_gradients() -> None:
    leaf = torch.ones(1, 2, requires_grad=True)
    states.concat([(leaf,), (torch.zeros(1, 3),)])[0].sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [[1.0, 1.0]]


def test_where_chooses_rows() -> None:
    rows = torch.tensor([True, False, True])
    mixed = states.where(rows, tree(), tree(start=100))
    assert mixed[2].tolist() == [0, 1010, 20]
    assert torch.equal(mixed[0].keys[1], tree(start=100)[0].keys[1])


def test_detach_and_cast_like() -> None:
    leaf = torch.ones(2, requires_grad=True)
    assert not states.detach((leaf * 2,))[0].requires_grad
    cast = states.cast_like((leaf.bfloat16(), torch.ones(2, dtype=torch.int32)), (leaf, torch.ones(2).long()))
    assert [part.dtype for part in cast] == [torch.float32, torch.int64]


def test_nbytes() -> None:
    assert states.nbytes(tree(3)) == 3 * 2 * 2 * 4 + 3 * 8 + 3 * 8


def test_operations_change_nothing_they_are_given() -> None:
    whole, kept = tree(), states.map_state(torch.clone, tree())
    results = [
        states.put(whole, torch.tensor([0]), states.take(whole, torch.tensor([1]))),
        states.where(torch.tensor([True, False, True]), whole, whole),
        states.concat([whole, whole]),
    ]
    for result in results:
        for _, leaf in states.leaves(result):
            leaf.zero_()
    assert same(whole, kept)


def test_scan_is_the_loop() -> None:
    def step(x: torch.Tensor, total: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return total + x, total + x

    outputs, total = scan(step, torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([10, 20]))
    assert outputs.tolist() == [[11, 13, 16], [24, 29, 35]]
    assert total.tolist() == [16, 35]


class Recorder(Backbone[torch.Tensor]):
    """A backbone that adds up its inputs and records which rows it is asked to read."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int]] = []

    def parallel(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls.append((x.shape[0], x.shape[1]))
        return x, state + x.sum((1, 2))


def test_advance_reads_no_symbol_twice() -> None:
    recorder = Recorder()
    x = torch.tensor([[1.0, 2, 4, 8], [10, 20, 40, 80], [100, 200, 400, 800], [5, 5, 5, 5]]).unsqueeze(2)
    state = advance(recorder, x, torch.tensor([3, 1, 3, 0]), torch.zeros(4))
    assert state.tolist() == [7, 10, 700, 0]
    assert recorder.calls == [(3, 1), (2, 2)]
