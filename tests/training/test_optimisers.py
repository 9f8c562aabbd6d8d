"""What is decayed, what is orthogonalised, and a state that survives as named tensors."""

from typing import Any

import pytest
import torch
from torch import nn
from training_fakes import Chunks, Tiny, tiny

from unrolled.backbones import LSTM, Stack, Stateless
from unrolled.core.errors import RunError, UsageError
from unrolled.training.optimisers import Muon, adamw, hidden_matrices, optimiser, orthogonalise
from unrolled.training.recipe import Recipe, schedule

MUON = Recipe(optimiser="muon", matrix_rate=0.1, learning_rate=0.01, matrix_every=2)


@pytest.mark.parametrize("shape", [(64, 64), (256, 64), (64, 256), (40, 9)])
def test_orthogonalise_moves_singular_values_to_about_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    values = torch.logspace(0, -1.5, min(shape))
    found = torch.linalg.svdvals(orthogonalise(left * values @ right * 37.0))
    assert found.max() < 1.25 and found.min() > 0.5
    assert torch.linalg.svdvals(left * values @ right).min() < 0.05


def test_orthogonalise_keeps_directions() -> None:
    matrix = torch.randn(48, 16, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ orthogonalise(matrix) @ right.T
    assert (inside - inside.diagonal().diag()).abs().max() < 1e-4
    assert torch.equal(orthogonalise(torch.zeros(16, 8)), torch.zeros(16, 8))


def test_hidden_matrices_are_those_of_the_backbone() -> None:
    model = tiny()
    model.backbone.positions = nn.Embedding(40, 32)
    model.backbone.small = nn.Linear(32, 4)
    assert list(hidden_matrices(model)) == ["backbone.layer.weight_ih_l0", "backbone.layer.weight_hh_l0"]
    model.backbone = Stack(LSTM(65, 32), Stateless(nn.Linear(32, 16), 32, 16))
    shapes = [tuple(dict(model.named_parameters())[name].shape) for name in hidden_matrices(model)]
    assert shapes == [(128, 65), (128, 32), (16, 32)]


def test_decay_spares_biases_and_norms() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    groups = adamw(list(model.parameters()), Recipe(weight_decay=0.5)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.5), (3, 0.0)]


def step(model: Tiny, recipe: Recipe, number: int) -> None:
    """A gradient of the model on one batch."""
    model.eval()
    loss, _, _ = model(Chunks().batch(number), None, None)
    loss.backward()


def test_adamw_equals_that_of_torch() -> None:
    ours, theirs = tiny(), tiny()
    recipe = Recipe(learning_rate=0.01, weight_decay=0.0, betas=(0.8, 0.9))
    first = optimiser(ours, recipe)
    second = torch.optim.AdamW(theirs.parameters(), lr=0.005, betas=(0.8, 0.9), weight_decay=0.0)
    for number in range(4):
        first.zero_grad()
        second.zero_grad()
        step(ours, recipe, number)
        step(theirs, recipe, number)
        first.step(0.5)
        second.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_muon_agrees_with_that_of_torch() -> None:
    """One step from nothing along the same directions; torch's orthogonalisation is rougher, in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = nn.Parameter(torch.zeros(64, 32)), nn.Parameter(torch.zeros(64, 32))
    ours.grad = torch.randn(64, 32, generator=generator)
    theirs.grad = ours.grad.clone()
    Muon([ours], rate=0.1, weight_decay=0.0, every=1).step()
    torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0).step()
    assert nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.98
    assert 0.8 < ours.norm() / theirs.norm() < 1.25


def test_muon_changes_matrices_in_turns_by_as_much_in_all() -> None:
    matrices = [nn.Parameter(torch.zeros(16, 16)) for _ in range(2)]
    each = [nn.Parameter(torch.zeros(16, 16)) for _ in range(2)]
    seldom = Muon(matrices, rate=0.1, weight_decay=0.0, every=2)
    often = Muon(each, rate=0.1, weight_decay=0.0, every=1)
    changed = []
    for _ in range(4):
        before = [matrix.detach().clone() for matrix in matrices]
        for matrix in matrices + each:
            matrix.grad = torch.eye(16)
        seldom.step()
        often.step()
        changed.append([not torch.equal(old, new) for old, new in zip(before, matrices, strict=True)])
    assert changed == [[False, True], [True, False]] * 2
    torch.testing.assert_close(matrices[0], each[0])


@pytest.mark.parametrize("recipe", [Recipe(), MUON], ids=["adamw", "muon"])
def test_state_goes_on_exactly_as_named_tensors(recipe: Recipe) -> None:
    model = tiny()
    first = optimiser(model, recipe)
    for number in range(3):
        first.zero_grad()
        step(model, recipe, number)
        first.step()
    other = tiny(seed=5)
    other.load_state_dict(model.state_dict())
    second = optimiser(other, recipe)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    assert first.tensors().keys() == second.tensors().keys()
    for number in range(3, 6):
        for one, its in ((first, model), (second, other)):
            one.zero_grad()
            step(its, recipe, number)
            one.step(0.7)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("key", ["head.weight.exp_avg", "nobody.exp_avg", "exp_avg"])
def test_state_of_another_model_is_refused(key: str) -> None:
    with pytest.raises(RunError, match="fits no parameter"):
        optimiser(tiny(), Recipe()).load({key: torch.zeros(3)})


def test_schedule_rises_and_falls() -> None:
    recipe = Recipe(steps=100, warmup=9, final_rate=0.1)
    rates = [schedule(recipe, number) for number in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0 and rates[100] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)
    assert schedule(recipe, 30, 40) < schedule(recipe, 30)
    assert schedule(Recipe(schedule="constant", warmup=0), 999) == 1.0


REFUSED = [
    {"rows": 0},
    {"steps": -1},
    {"matrix_every": 0},
    {"learning_rate": -1.0},
    {"learning_rate": float("nan")},
    {"final_rate": 2.0},
    {"betas": (0.9, 1.0)},
]


@pytest.mark.parametrize("setting", REFUSED)
def test_recipe_refuses(setting: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(setting))):
        Recipe(**setting)
