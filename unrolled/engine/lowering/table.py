"""The lowering of each type of module. A subclass is another type: it may compute something else."""

from torch import nn

from unrolled.backbones.attention import Attention
from unrolled.backbones.combinators import Conditioned, Residual, Stack, Stateless
from unrolled.backbones.convolution import Convolution
from unrolled.backbones.feedforward import GELU, SwiGLU
from unrolled.backbones.nested_lstm import NestedLSTM
from unrolled.backbones.positions import LearnedPositions
from unrolled.backbones.recurrent import GRU, LSTM, Elman
from unrolled.backbones.tiers import Tiers
from unrolled.backbones.window import Window
from unrolled.engine.lowering.attention import attention
from unrolled.engine.lowering.builder import Lowering
from unrolled.engine.lowering.combinators import conditioned, residual, stack, stateless
from unrolled.engine.lowering.convolution import convolution
from unrolled.engine.lowering.feedforward import (
    elementwise,
    gelu,
    gelu_block,
    linear,
    norm,
    nothing,
    sequential,
    swiglu_block,
)
from unrolled.engine.lowering.nested_lstm import nested_lstm
from unrolled.engine.lowering.positions import learned_positions
from unrolled.engine.lowering.recurrent import elman, gru, lstm
from unrolled.engine.lowering.tiers import tiers
from unrolled.engine.lowering.window import window

TABLE: dict[type, Lowering] = {
    Stack: stack,
    Residual: residual,
    Stateless: stateless,
    Conditioned: conditioned,
    LearnedPositions: learned_positions,
    Window: window,
    Elman: elman,
    GRU: gru,
    LSTM: lstm,
    NestedLSTM: nested_lstm,
    Convolution: convolution,
    Tiers: tiers,
    Attention: attention,
    GELU: gelu_block,
    SwiGLU: swiglu_block,
    nn.Identity: nothing,
    nn.Dropout: nothing,
    nn.Sequential: sequential,
    nn.Linear: linear,
    nn.LayerNorm: norm,
    nn.RMSNorm: norm,
    nn.ReLU: elementwise("relu"),
    nn.GELU: gelu,
    nn.Tanh: elementwise("tanh"),
    nn.Sigmoid: elementwise("sigmoid"),
    nn.SiLU: elementwise("silu"),
}
