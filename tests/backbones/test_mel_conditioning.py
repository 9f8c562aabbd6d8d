"""WaveNet that is told what to sound like: log mel frames, upsampled to the rate of samples, as controls."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.sounds import RATE, melody
from unrolled.backbones import Convolution
from unrolled.backbones.upsampling import Upsampling
from unrolled.core.protocol import scan
from unrolled.heads.categorical import Categorical
from unrolled.inspection.spectrum import log_mel, mel_filters

HOP, BANDS, LEVELS, WIDTH = 80, 12, 64, 16
WINDOW = 4 * HOP


def mel_frames(samples: np.ndarray) -> torch.Tensor:
    """One frame of bands for every HOP samples, standardised."""
    padded = np.pad(samples, (WINDOW - HOP, 0))
    found = np.concatenate(list(log_mel([padded], WINDOW, HOP, mel_filters(RATE, WINDOW, BANDS))))
    frames = torch.from_numpy(found[: len(samples) // HOP].astype(np.float32))
    return (frames - frames.mean()) / frames.std()


class Vocoder(nn.Module):
    """Embedded levels and upsampled frames into dilated convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.upsampling = nn.Embedding(LEVELS, WIDTH), Upsampling(BANDS, (8, 10))
        self.backbone = Convolution(WIDTH + BANDS, WIDTH, dilations=(1, 2, 4, 8), control_width=BANDS)
        self.head = Categorical(WIDTH, LEVELS)

    def inputs(self, levels: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """What the backbone reads: the levels so far, and the frame of the sample that comes next."""
        return torch.cat([self.embed(levels), self.upsampling(frames)[:, : levels.shape[1]]], -1)


@pytest.fixture
def sound() -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    def make(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        samples = melody(seed, 0.2)
        levels = torch.from_numpy(((samples + 1) / 2 * (LEVELS - 1)).round().astype(np.int64))
        return levels.unsqueeze(0), mel_frames(samples).unsqueeze(0)

    return make


def test_both_views_are_equal_under_frames(sound) -> None:
    torch.manual_seed(0)
    model = Vocoder().double()
    levels, frames = sound(1)
    x = model.inputs(levels[:, :200], frames.double()).detach()
    state = model.backbone.init_state(1)
    torch.testing.assert_close(model.backbone.parallel(x, state), scan(model.backbone.step, x, state))


def test_a_frame_is_heard_from_its_first_sample_on_and_not_before(sound) -> None:
    torch.manual_seed(0)
    model = Vocoder().double()
    levels, frames = sound(1)
    frames = frames.double().requires_grad_()
    x = model.inputs(levels[:, : 5 * HOP], frames)
    outputs, _ = model.backbone.parallel(x, model.backbone.init_state(1))
    assert model.backbone.receptive_field is not None
    for sample, heard in ((2 * HOP - 1, [0, 1]), (2 * HOP, [0, 1, 2]), (4 * HOP, [0, 1, 2, 3, 4])):
        (gradient,) = torch.autograd.grad(outputs[0, sample].sum(), frames, retain_graph=True)
        reached = gradient[0].abs().sum(1).nonzero().flatten().tolist()
        first = (sample - model.backbone.receptive_field + 1) // HOP
        assert reached == [frame for frame in heard if frame >= first]


def test_frames_make_sound_easier_to_predict(sound) -> None:
    losses = []
    for told in (1.0, 0.0):
        torch.manual_seed(0)
        model = Vocoder()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for step in range(60):
            levels, frames = sound(step % 3)
            features, _ = model.backbone.parallel(model.inputs(levels, told * frames), model.backbone.init_state(1))
            loss = model.head.losses(features[:, :-1], levels[:, 1:]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append(loss.item())
    assert losses[0] < losses[1] - 0.05, losses
