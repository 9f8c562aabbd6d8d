"""The loop learns, stops, refuses damage and resumes bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn
from training_fakes import Chunks, Tiny, tiny

from unrolled.backbones import LSTM
from unrolled.core.errors import RunError, TrainingError
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import OneHot, SequenceModel
from unrolled.training.checkpoints import latest_checkpoint, load_checkpoint
from unrolled.training.evaluation import Score, evaluate_batches
from unrolled.training.loop import train
from unrolled.training.progress import begin, resume, save
from unrolled.training.recipe import Recipe

RECIPE = Recipe(steps=12, warmup=2, learning_rate=0.02, rows=4, length=6, evaluate_every=4)


def evaluate(model: nn.Module) -> Score:
    return evaluate_batches(model, [Chunks().batch(step) for step in range(2)])


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_learns(optimiser: Literal["adamw", "muon"]) -> None:
    model = tiny(dropout=0.0)
    recipe = Recipe(steps=80, warmup=2, learning_rate=0.02, optimiser=optimiser)
    losses = [update.loss for update in train(model, Chunks(), recipe, begin(model, recipe), seed=1)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_resume_is_exact_after_every_update(optimiser: Literal["adamw", "muon"], tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimiser=optimiser)
    model, sampler = tiny(), Chunks()
    progress = begin(model, recipe)
    whole = []
    for update in train(model, sampler, recipe, progress, seed=3, evaluate=evaluate):
        whole.append(update._replace(seconds=0.0))
        save(tmp_path, model, progress)
    final = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for step in range(1, recipe.steps):
        checkpoint, notes = latest_checkpoint(only(tmp_path, step))
        assert checkpoint is not None and not notes
        other = tiny(seed=99)
        again = resume(checkpoint, other, recipe, sampler.batch(0))
        tail = [u._replace(seconds=0.0) for u in train(other, sampler, recipe, again, seed=3, evaluate=evaluate)]
        assert tail == whole[step:]
        assert all(torch.equal(final[name], tensor) for name, tensor in other.state_dict().items())
        assert again.evaluations == progress.evaluations


def only(folder: Path, step: int) -> Path:
    """A folder with nothing but the checkpoint of one step."""
    place = folder / f"only{step}"
    place.mkdir()
    (folder / f"{step:08d}").rename(place / f"{step:08d}")
    return place


def test_a_forgotten_part_of_the_state_would_be_seen(tmp_path: Path) -> None:
    model, sampler = tiny(), Chunks()
    progress = begin(model, RECIPE)
    updates = train(model, sampler, RECIPE, progress, seed=3)
    for _ in range(3):
        next(updates)
    save(tmp_path, model, progress)
    expected = next(updates)
    checkpoint, _ = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    for change in ({"carried": None}, {"step": 4}):
        other = tiny()
        again = resume(checkpoint, other, RECIPE, sampler.batch(0))
        for name, value in change.items():
            setattr(again, name, value)
        assert next(train(other, sampler, RECIPE, again, seed=3)).loss != expected.loss


def test_other_seed_other_dropout() -> None:
    losses = []
    for seed in (1, 2, 1):
        model = tiny()
        losses.append([update.loss for update in train(model, Chunks(), RECIPE, begin(model, RECIPE), seed=seed)])
    assert losses[0] == losses[2] != losses[1]


class Poisoned(Tiny):
    """Its loss or its gradient is spoilt once `embed` has been used for some steps."""

    spoil = "loss"

    def forward(self, batch, state, draws):
        loss, state, metrics = super().forward(batch, state, draws)
        if draws is not None and int(draws.position[0]) == 5:
            extra = self.head.bias.sum()
            loss = loss * float("nan") if self.spoil == "loss" else loss + (extra - extra.detach()).abs().sqrt()
        return loss, state, metrics


@pytest.mark.parametrize(("spoil", "words"), [("loss", "the loss is nan"), ("gradient", "norm of the gradient is nan")])
def test_not_a_number_stops_before_the_weights_are_spoilt(spoil: str, words: str, tmp_path: Path) -> None:
    model = Poisoned()
    model.spoil = spoil
    progress = begin(model, RECIPE)
    with pytest.raises(TrainingError) as caught:
        for update in train(model, Chunks(), RECIPE, progress, seed=1):
            if update.step == 4:
                save(tmp_path, model, progress)
    message = str(caught.value)
    assert message.startswith("update 6: ") and words in message
    assert str(tmp_path / "00000004") in message and "learning rate" in message and "\n" not in message
    assert progress.step == 5
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_patience_ends_training_and_resuming_does_not_go_on() -> None:
    model = tiny()
    recipe = Recipe(steps=50, evaluate_every=2, patience=3)
    scores = iter([3.0, 2.0, 2.5, 2.1, 2.0, 1.0])
    progress = begin(model, recipe)
    updates = list(train(model, Chunks(), recipe, progress, seed=1, evaluate=lambda _: Score(next(scores), 1, 0.0)))
    assert progress.step == 10 and progress.best == (4, 2.0)
    assert [u.step for u in updates if u.improved] == [2, 4]
    assert not list(train(model, Chunks(), recipe, progress, seed=1))


def test_steps_may_change_between_updates() -> None:
    model = tiny()
    progress = begin(model, RECIPE)
    for update in train(model, Chunks(), RECIPE, progress, seed=1):
        if update.step == 3:
            progress.steps = 5
    assert progress.step == 5 and update.rate < 0.3


def test_gradient_is_clipped_to_the_norm_and_no_further() -> None:
    for most, expected in ((0.01, 0.01), (1e6, None), (0.0, None)):
        model = tiny()
        recipe = replace(RECIPE, clip=most)
        update = next(train(model, Chunks(), recipe, begin(model, recipe), seed=1))
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]).item()
        assert update.norm > 0.05 and norm == pytest.approx(expected or update.norm, rel=1e-4)


def test_state_that_no_row_goes_on_from_is_not_kept(tmp_path: Path) -> None:
    model = tiny()
    progress = begin(model, RECIPE)
    for update in train(model, Chunks(), RECIPE, progress, seed=1):
        assert (progress.carried is None) == (update.step % Chunks.steps_per_epoch == 0)


def test_bfloat16_learns_with_weights_and_optimiser_in_float32() -> None:
    model = SequenceModel(OneHot(7), LSTM(7, 32), Categorical(32, 7), begin=5, end=6)
    recipe = Recipe(steps=60, warmup=2, learning_rate=0.02, precision="bfloat16", optimiser="muon", clip=1.0)
    progress = begin(model, recipe)
    losses = [update.loss for update in train(model, Chunks(), recipe, progress, seed=1)]
    assert losses[-1] < 0.5 * losses[0]
    dtypes = {tensor.dtype for tree in progress.trees(model).values() for tensor in tree.values()}
    assert dtypes == {torch.float32, torch.int64}


def test_checkpoints_that_fit_no_model_of_ours_are_refused(tmp_path: Path) -> None:
    model, sampler = tiny(), Chunks()
    progress = begin(model, RECIPE)
    next(train(model, sampler, RECIPE, progress, seed=1))
    good = load_checkpoint(save(tmp_path, model, progress))
    weights, scalars = good.trees, good.scalars
    foreign = [
        good._replace(trees={"model": {}, "optimiser": {}}),
        good._replace(trees={name: tree for name, tree in weights.items() if name != "optimiser"}),
        good._replace(trees=weights | {"carried": {"hidden": torch.zeros(4, 32)}}),
        good._replace(trees=weights | {"carried": {"hidden": torch.zeros(9, 32), "clock": torch.zeros(9).long()}}),
        good._replace(scalars=scalars | {"step": float("inf")}),
        good._replace(scalars=scalars | {"step": None}),
        good._replace(scalars=scalars | {"evaluations": [[1, 2.0]]}),
        good._replace(scalars={}),
    ]
    for checkpoint in foreign:
        with pytest.raises(RunError) as caught:
            resume(checkpoint, tiny(), RECIPE, sampler.batch(0))
        assert str(good.path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(RunError, match="not of this model"):
        resume(good, tiny(width=16), RECIPE, sampler.batch(0))
