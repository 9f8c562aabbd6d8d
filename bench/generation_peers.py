"""What generation is measured against: other packages as a person would use them, one step or one text at a time.

A peer gives loops in every form that might be its fastest; those of a package that is not installed are `Absent`.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from unrolled.core.errors import UnrolledError

Loop = Callable[[], int]  # makes some steps and tells how many
THREADS = (1, 2)
SEED = 7


class Absent(UnrolledError):
    """A package that is not installed; says which."""


class Contestant(NamedTuple):
    """One form of one peer: its `loop`, and the `full` loop with draws where the first has none.

    Both are None of a peer that is absent or does not run.
    """

    name: str
    loop: Loop | None
    full: Loop | None = None


def needed(package: str) -> Any:
    """A package that is an optional dependency. Raises: Absent."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as problem:
        raise Absent(f"absent: {package}") from problem


class EagerLSTM(nn.Module):
    """Unit vectors, LSTM layers and a linear layer, a symbol at a time, by `nn.LSTM` or one `nn.LSTMCell` a layer."""

    def __init__(self, size: int, width: int, layers: int, cells: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(torch.eye(size))
        self.output = nn.Linear(width, size)
        self.cells = nn.ModuleList(nn.LSTMCell(width if i else size, width) for i in range(layers)) if cells else None
        self.kernel = None if cells else nn.LSTM(size, width, layers)
        first = torch.zeros(layers, 1, width)
        self.states: Any = [(zero, zero) for zero in first] if cells else (first, first)

    def forward(self, symbol: torch.Tensor) -> torch.Tensor:
        """Logits after one more symbol."""
        x = self.embed(symbol)
        if self.cells is None:
            assert self.kernel is not None
            x, self.states = self.kernel(x[None], self.states)
            return self.output(x[0])
        for layer, cell in enumerate(self.cells):
            self.states[layer] = cell(x, self.states[layer])
            x = self.states[layer][0]
        return self.output(x)


def eager_lstm(size: int, width: int, layers: int, steps: int) -> Iterator[Contestant]:
    """The network alone, and the whole loop with softmax and draws; with and without oneDNN, and by cells."""
    for form in ("nn.LSTM with oneDNN", "nn.LSTM without oneDNN", "nn.LSTMCell"):
        torch.manual_seed(SEED)
        model = EagerLSTM(size, width, layers, cells=form == "nn.LSTMCell").eval()
        for threads in THREADS:

            def flags(threads: int = threads, plain: bool = "without" in form) -> Any:
                torch.set_num_threads(threads)
                return torch.backends.mkldnn.flags(enabled=False) if plain else nullcontext()

            name = f"{form}, torch {torch.__version__}, threads {threads}"
            yield Contestant(name, network_loop(model, size, steps, flags), drawing_loop(model, steps, flags))


def network_loop(model: nn.Module, size: int, steps: int, flags: Callable[[], Any]) -> Loop:
    """Given symbols through a network."""
    symbols = torch.randint(size, (steps, 1), generator=torch.Generator().manual_seed(SEED))

    @torch.inference_mode()
    def loop() -> int:
        with flags():
            for symbol in symbols:
                model(symbol)
        return steps

    return loop


def drawing_loop(model: nn.Module, steps: int, flags: Callable[[], Any]) -> Loop:
    """Symbols drawn and fed back."""

    @torch.inference_mode()
    def loop() -> int:
        symbol = torch.zeros(1, dtype=torch.int64)
        with flags():
            for _ in range(steps):
                symbol = torch.multinomial(model(symbol).softmax(-1), 1)[0]
        return steps

    return loop


def onnx_gru(width: int, steps: int) -> Iterator[Contestant]:
    """ONNX Runtime's GRU operator, whose state goes back and forth between two buffers that are bound beforehand."""
    onnx, runtime = needed("onnx"), needed("onnxruntime")
    model = recurrent_node(onnx, "GRU", random_weights(3 * width, width, width)).SerializeToString()
    for threads in THREADS:
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        there, back = bound_buffers(runtime, session, width)

        def loop(session: Any = session, there: Any = there, back: Any = back) -> int:
            for _ in range(steps // 2):
                session.run_with_iobinding(there)
                session.run_with_iobinding(back)
            return steps // 2 * 2

        yield Contestant(f"GRU with IO binding, onnxruntime {runtime.__version__}, threads {threads}", loop)


def random_weights(rows: int, inputs: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of a recurrent layer and its biases, with torch's spread at the beginning."""
    draws, most = np.random.default_rng(SEED), width**-0.5
    shapes = ((1, rows, inputs), (1, rows, width), (1, 2 * rows))
    first, second, third = (draws.uniform(-most, most, shape).astype(np.float32) for shape in shapes)
    return first, second, third


def recurrent_node(onnx: Any, kind: str, weights: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Any:
    """A model of one GRU or LSTM operator that reads one vector, built by hand: exporters are not trusted with it."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    width, inputs = weights[1].shape[2], weights[0].shape[2]
    given = [("x", inputs), ("h", width), *([("c", width)] if kind == "LSTM" else [])]
    made = [("next_h", width), *([("next_c", width)] if kind == "LSTM" else [])]
    settings = {"hidden_size": width, **({"linear_before_reset": 1} if kind == "GRU" else {})}
    node = helper.make_node(
        kind,
        ["x", "w", "r", "b", "", *(name for name, _ in given[1:])],
        ["", *(name for name, _ in made)],
        **settings,
    )
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info(name, floats, [1, 1, size]) for name, size in given],
        [helper.make_tensor_value_info(name, floats, [1, 1, size]) for name, size in made],
        [onnx.numpy_helper.from_array(weight, name) for weight, name in zip(weights, "wrb", strict=True)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def bound_buffers(runtime: Any, session: Any, width: int) -> tuple[Any, Any]:
    """Bindings that read one of two states and write the other."""
    draws = np.random.default_rng(SEED)
    x, *states = (
        runtime.OrtValue.ortvalue_from_numpy(array.astype(np.float32))
        for array in (draws.standard_normal((1, 1, width)), np.zeros((1, 1, width)), np.zeros((1, 1, width)))
    )
    bindings = []
    for before, after in (states, reversed(states)):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", x)
        binding.bind_ortvalue_input("h", before)
        binding.bind_ortvalue_output("next_h", after)
        bindings.append(binding)
    return bindings[0], bindings[1]


class GPTShape(NamedTuple):
    """Size of a GPT-2."""

    size: int
    width: int
    layers: int
    heads: int
    context: int


def gpt2(transformers: Any, shape: GPTShape, attention: str) -> Any:
    """A GPT-2 of `transformers` with random weights."""
    config = transformers.GPT2Config(
        vocab_size=shape.size, n_positions=shape.context, n_embd=shape.width, n_layer=shape.layers,
        n_head=shape.heads, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    config._attn_implementation = attention
    torch.manual_seed(SEED)
    return transformers.GPT2LMHeadModel(config).eval()


def quiet_transformers() -> Any:
    """The package `transformers`, without network and chatter. Raises: Absent."""
    import os

    os.environ["HF_HUB_OFFLINE"] = "1"  # before the import: models are made here, nothing is fetched
    transformers = needed("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def transformers_gpt(shape: GPTShape, steps: int, halved: bool = False) -> Iterator[Contestant]:
    """`generate` with its cache, greedy and drawing; with bfloat16 weights too where `halved`."""
    transformers = quiet_transformers()
    for attention in ("sdpa", "eager"):
        for dtype in (torch.float32, torch.bfloat16) if halved else (torch.float32,):
            model = gpt2(transformers, shape, attention).to(dtype)
            for threads in THREADS:
                kind = f"{attention} {str(dtype).removeprefix('torch.')}"
                name = f"generate ({kind}), transformers {transformers.__version__}, threads {threads}"
                greedy, drawing = (transformers_loop(model, steps, threads, draws) for draws in (False, True))
                yield Contestant(name, greedy, drawing)


def transformers_loop(model: Any, steps: int, threads: int, draws: bool) -> Loop:
    """A text of `steps` symbols after one."""
    prompt = torch.zeros(1, 1, dtype=torch.int64)
    choice = {"do_sample": True, "top_k": 0} if draws else {"do_sample": False}

    def loop() -> int:
        torch.set_num_threads(threads)
        found = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=steps, use_cache=True, eos_token_id=None,
            pad_token_id=0, **choice,
        )  # fmt: skip
        return found.shape[1] - 1

    return loop


def ctranslate2_gpt(shape: GPTShape, steps: int, precision: str) -> Iterator[Contestant]:
    """The same text by CTranslate2 in one precision, greedy and drawing. Raises: Absent, too for a precision."""
    ctranslate2, transformers = needed("ctranslate2"), quiet_transformers()
    if precision not in ctranslate2.get_supported_compute_types("cpu"):
        raise Absent(f"absent: {precision} in ctranslate2 {ctranslate2.__version__} on this processor")
    with tempfile.TemporaryDirectory(prefix="unrolled-bench-") as folder:
        converted = convert(ctranslate2, transformers, gpt2(transformers, shape, "eager"), Path(folder), precision)
        for threads in THREADS:
            model = ctranslate2.Generator(
                str(converted), device="cpu", compute_type=precision, intra_threads=threads, inter_threads=1
            )
            name = f"generate_batch ({precision}), ctranslate2 {ctranslate2.__version__}, threads {threads}"
            greedy, drawing = (ctranslate2_loop(model, steps, top_k) for top_k in (1, 0))
            yield Contestant(name, greedy, drawing)


def ctranslate2_loop(model: Any, steps: int, top_k: int) -> Loop:
    """A text of `steps` symbols after one."""

    def loop() -> int:
        found = model.generate_batch(
            [["1"]],
            max_length=steps,
            min_length=steps,
            beam_size=1,
            sampling_topk=top_k,
            include_prompt_in_result=False,
        )
        return len(found[0].sequences_ids[0])

    return loop


def convert(ctranslate2: Any, transformers: Any, model: Any, folder: Path, precision: str) -> Path:
    """A model in the format of CTranslate2; the converter wants a tokenizer, so there is one with a word a symbol."""
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({str(i): i for i in range(model.config.vocab_size)}, unk_token="0"))
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "0")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)
    for part in (model, tokenizer):
        part.save_pretrained(str(folder / "from"))
    quantization = None if precision == "float32" else precision
    converter = ctranslate2.converters.TransformersConverter(str(folder / "from"))
    return Path(converter.convert(str(folder / "to"), quantization=quantization))
