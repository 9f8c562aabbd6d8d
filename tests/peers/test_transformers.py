"""GPT-2 and Llama stacks against random models of the `transformers` package: logits and greedy text."""

import os
from typing import Any

import pytest
import torch
from torch import nn

from unrolled.backbones import Stack, gpt2, llama
from unrolled.core.protocol import Backbone, scan

os.environ["HF_HUB_OFFLINE"] = "1"  # before the import: models are built here, nothing is fetched
transformers: Any = pytest.importorskip(
    "transformers", reason="the package transformers (extra peers) is not installed"
)

SIZE, WIDTH, LAYERS, HEADS = 60, 32, 3, 4


def copy(pairs: dict[nn.Module, tuple[torch.Tensor, torch.Tensor | None]]) -> None:
    """Write weights (as linear maps have them, outputs first) and biases into our modules."""
    with torch.no_grad():
        for module, (weight, bias) in pairs.items():
            assert isinstance(module.weight, torch.Tensor) and module.weight.shape == weight.shape
            module.weight.copy_(weight)
            if bias is not None:
                assert isinstance(module.bias, torch.Tensor)
                module.bias.copy_(bias)


def parts_of(block: Any) -> tuple[Any, Any, Any, Any]:
    """First norm, attention, second norm, feedforward."""
    first, second = (residual.inner.parts for residual in block.parts)
    return first[0].module, first[1], second[0].module[0], second[0].module[1]


def with_gpt2() -> tuple[Any, Stack]:
    config = transformers.GPT2Config(
        vocab_size=SIZE, n_positions=64, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, tie_word_embeddings=False
    )
    theirs = transformers.GPT2LMHeadModel(config).double().eval()
    disturb(theirs)
    ours = gpt2(WIDTH, layers=LAYERS, heads=HEADS, window=64).double().eval()
    body = theirs.transformer
    positions, _, *blocks, norm = ours.parts
    pairs = {positions.table: (body.wpe.weight, None), norm.module: (body.ln_f.weight, body.ln_f.bias)}
    for mine, theirs_block in zip(blocks, body.h, strict=True):
        norm1, attention, norm2, feedforward = parts_of(mine)
        pairs[norm1] = (theirs_block.ln_1.weight, theirs_block.ln_1.bias)
        pairs[norm2] = (theirs_block.ln_2.weight, theirs_block.ln_2.bias)
        pairs[attention.inputs] = (theirs_block.attn.c_attn.weight.T, theirs_block.attn.c_attn.bias)
        pairs[attention.output] = (theirs_block.attn.c_proj.weight.T, theirs_block.attn.c_proj.bias)
        pairs[feedforward.input] = (theirs_block.mlp.c_fc.weight.T, theirs_block.mlp.c_fc.bias)
        pairs[feedforward.output] = (theirs_block.mlp.c_proj.weight.T, theirs_block.mlp.c_proj.bias)
    copy(pairs)
    return theirs, ours


def with_llama() -> tuple[Any, Stack]:
    config = transformers.LlamaConfig(
        vocab_size=SIZE, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6,
        tie_word_embeddings=False,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).double().eval()
    disturb(theirs)
    ours = llama(WIDTH, layers=LAYERS, heads=HEADS, key_heads=2, window=64, hidden=48).double().eval()
    _, *blocks, norm = ours.parts
    pairs: dict[Any, Any] = {norm.module: (theirs.model.norm.weight, None)}
    for mine, theirs_block in zip(blocks, theirs.model.layers, strict=True):
        norm1, attention, norm2, feedforward = parts_of(mine)
        own, mlp = theirs_block.self_attn, theirs_block.mlp
        pairs[norm1] = (theirs_block.input_layernorm.weight, None)
        pairs[norm2] = (theirs_block.post_attention_layernorm.weight, None)
        pairs[attention.inputs] = (torch.cat([own.q_proj.weight, own.k_proj.weight, own.v_proj.weight]), None)
        pairs[attention.output] = (own.o_proj.weight, None)
        pairs[feedforward.gate] = (mlp.gate_proj.weight, None)
        pairs[feedforward.input] = (mlp.up_proj.weight, None)
        pairs[feedforward.output] = (mlp.down_proj.weight, None)
    copy(pairs)
    return theirs, ours


def disturb(model: nn.Module) -> None:
    """Random weights, large enough that attention is sharp and every bias and norm counts."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0  # scales of norms
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            scale = 1.0 if parameter.shape[0] == SIZE else 0.2  # what goes in and comes out decides, not the biases
            parameter.copy_(around + scale * noise)


# Llama's own angles and norms are computed in float32 there, so that agreement ends near float32's precision.
PEERS = {"gpt2": (with_gpt2, 1e-11), "llama": (with_llama, 2e-5)}


@pytest.fixture(scope="module", params=PEERS)
def peers(request: pytest.FixtureRequest) -> tuple[Any, Backbone[Any], float]:
    make, tolerance = PEERS[request.param]
    return *make(), tolerance


def logits(theirs: Any, features: torch.Tensor) -> torch.Tensor:
    return features @ theirs.get_output_embeddings().weight.T


def embed(theirs: Any, symbols: torch.Tensor) -> torch.Tensor:
    return theirs.get_input_embeddings().weight[symbols]


@torch.no_grad()
@pytest.mark.parametrize("view", ["parallel", "step", "pieces"])
def test_logits(peers: tuple[Any, Backbone[Any], float], view: str) -> None:
    theirs, ours, tolerance = peers
    symbols = torch.randint(SIZE, (2, 50), generator=torch.Generator().manual_seed(1))
    x, state = embed(theirs, symbols), ours.init_state(2)
    if view == "parallel":
        features, _ = ours.parallel(x, state)
    elif view == "step":
        features, _ = scan(ours.step, x, state)
    else:
        first, state = ours.parallel(x[:, :20], state)
        second, _ = ours.parallel(x[:, 20:], state)
        features = torch.cat([first, second], 1)
    reference = theirs(symbols).logits
    assert reference.std() > 0.5
    torch.testing.assert_close(logits(theirs, features), reference, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_greedy_text(peers: tuple[Any, Backbone[Any], float]) -> None:
    """Our cached decoding against theirs, rows together."""
    theirs, ours, _ = peers
    symbols = torch.randint(SIZE, (3, 6), generator=torch.Generator().manual_seed(2))
    reference = theirs.generate(
        symbols, attention_mask=torch.ones_like(symbols), max_new_tokens=50, do_sample=False, use_cache=True,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    features, state = ours.parallel(embed(theirs, symbols), ours.init_state(3))
    feature, text = features[:, -1], symbols
    for _ in range(50):
        best = logits(theirs, feature).argmax(-1)
        text = torch.cat([text, best.unsqueeze(1)], 1)
        feature, state = ours.step(embed(theirs, best), state)
    assert text.tolist() == reference.tolist()
    assert len(set(text[:, 6:].flatten().tolist())) > 5  # a text that repeats one symbol would prove little


def test_gradients_of_the_gpt_block() -> None:
    """Weights of both in one loss: the gradients of the inputs agree."""
    theirs, ours = with_gpt2()
    x = torch.randn(2, 20, WIDTH, dtype=torch.float64, requires_grad=True)
    weights = torch.cos(torch.arange(2 * 20 * WIDTH, dtype=torch.float64)).view(2, 20, WIDTH)
    (mine,) = torch.autograd.grad((ours(x, ours.init_state(2))[0] * weights).sum(), x)
    (reference,) = torch.autograd.grad((theirs.transformer(inputs_embeds=x).last_hidden_state * weights).sum(), x)
    torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-10)
