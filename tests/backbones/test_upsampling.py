"""Upsampling of features against repetition and torch's transposed convolution."""

import torch
import torch.nn.functional as F

from unrolled.backbones.upsampling import Upsampling


def test_it_begins_as_repetition():
    frames = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Upsampling(4, (2, 5))(frames), frames.repeat_interleave(10, 1), rtol=0, atol=1e-6)


def test_it_is_a_transposed_convolution():
    torch.manual_seed(0)
    module = Upsampling(4, (3,)).double()
    (stage,) = module.stages
    torch.nn.init.normal_(stage.weight)
    frames = torch.randn(2, 5, 4, dtype=torch.float64)
    kernel = stage.weight.unflatten(0, (3, 4)).permute(2, 1, 0)  # in, out, place
    expected = F.conv_transpose1d(frames.transpose(1, 2), kernel, stride=3).transpose(1, 2)
    torch.testing.assert_close(module(frames), expected, rtol=0, atol=1e-12)
