"""What a run scores, by a protocol that is always named with the figure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from unrolled.api.corpora import corpus_for
from unrolled.api.costs import keep_cost
from unrolled.api.engines import Engine, EngineName, Native
from unrolled.api.run import Run
from unrolled.api.runs import require
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import Batch
from unrolled.core.errors import DataError, UsageError
from unrolled.core.shapes import Float, Tensor
from unrolled.data.corpus import SplitRule
from unrolled.data.encoded import Part, encode_corpus
from unrolled.data.evaluation import carried, evaluation_windows, random_windows
from unrolled.engine.runtime import Precision, Session
from unrolled.store.records import Cost
from unrolled.training.evaluation import carried_into, summarise, to_device

Protocol = Literal["carried", "windows", "random"]
Split = Literal["validation", "train", "all"]
CARRIED_CHUNK = 2048


@dataclass(frozen=True)
class Evaluation:
    """`nats` per symbol with standard error `stderr` over `predictions` symbols of `split`, read by `protocol`.

    `window` is in symbols. Bits per character and per byte leave out what is no text, such as the end symbol, and the
    `unknown` symbols, of which nobody knows how many characters they stand for. `cost`: nats per symbol above those
    that the same engine has in float32, None where `precision` is float32.
    """

    nats: float
    stderr: float
    predictions: int
    perplexity: float
    bits_per_character: float
    bits_per_byte: float
    protocol: str
    window: int
    state: str
    split: str
    data: str
    unknown: int
    engine: str = "torch"
    precision: Precision = "float32"
    cost: float | None = None


def evaluate(
    run: Run,
    data: Sequence[str | Path] = (),
    *,
    protocol: Protocol | None = None,
    split: Split | None = None,
    window: int | None = None,
    count: int = 240,
    seed: int = 0,
    engine: EngineName = "auto",
    precision: Precision = "float32",
) -> Evaluation:
    """Score a run on a part of its own data, or on other `data` (then on all of it unless `split` says otherwise).

    "carried" reads the part once with the state carried on; "windows" all windows side by side, each started anew;
    "random" `count` windows at random places, nanoGPT's estimate. Windows are as long as in training by default.
    `engine` "auto" is torch, which reads in parallel, and for another `precision` than float32 the native one; what
    that costs on the run's own validation part is kept in the run.
    Raises: DataError for data that is missing or too short, UsageError for a protocol that the model cannot follow.
    """
    require(run.system, "evaluate")
    protocol, window = settled(run, protocol, window)
    split = split or ("all" if data else "validation")
    part, unknown = evaluation_part(run, data, split)
    chosen = run.engines.choose("torch" if (engine, precision) == ("auto", "float32") else engine, precision)
    reading = partial(read, part, protocol, window, count, seed)
    nats, stderr, predictions, text_nats, characters, size = score(run, losses(run, chosen, reading()))
    cost = None
    if precision != "float32":
        cost = nats - score(run, losses(run, run.engines.choose("native", "float32"), reading()))[0]
        if not data and split == "validation" and protocol != "random":
            keep_cost(run, Cost(run.model_sha256, precision, nats, cost, predictions, protocol))
    return Evaluation(
        nats, stderr, predictions, math.exp(min(nats, 700.0)),
        text_nats / max(1, characters) / math.log(2), text_nats / max(1, size) / math.log(2),
        protocol, CARRIED_CHUNK if protocol == "carried" else window,
        "carried" if protocol == "carried" else "anew in each window", split,
        ", ".join(map(str, data)) or "the run's own", unknown, chosen.name, precision, cost,
    )  # fmt: skip


def settled(run: Run, protocol: Protocol | None, window: int | None) -> tuple[Protocol, int]:
    """The protocol and the length of windows, if a run can follow them."""
    limit = run.model.position_limit
    protocol = protocol or ("windows" if limit else "carried")
    if protocol == "carried" and limit:
        raise UsageError(f"protocol carried needs a state without limit, this model has {limit} positions: use windows")
    window = int(window or run.config.training["recipe"]["length"])
    if limit and window > limit:
        raise UsageError(f"window {window} > the {limit} positions of this model: pass --window {limit} or less")
    return protocol, window


def evaluation_part(run: Run, data: Sequence[str | Path], split: Split) -> tuple[Part, int]:
    """The part to read, and how many unknown symbols it holds."""
    options = run.config.training["options"]
    paths = list(data) or run.config.data["paths"]
    rule = SplitRule(1.0 if split == "all" else options["split"])
    try:
        corpus = corpus_for(run, paths, options["text_field"], rule)
    except DataError as problem:
        if data:
            raise
        raise DataError(f"the data of run {run.folder.name} cannot be read: {problem}; or name other data") from None
    if not data and split != "all" and corpus.fingerprint() != run.config.data["fingerprint"]:
        raise DataError(
            f"the data of run {run.folder.name} has changed since it was trained: name the data to score on"
        )
    encoded = encode_corpus(corpus, run.codec, run.fields)
    name = "validation" if split == "validation" else "train"
    part = encoded.validation if name == "validation" else encoded.train
    if len(part.symbols) < 2:
        raise DataError(f"the {split} part of {paths[0]} has {len(part.symbols)} symbols: too few to score")
    return part, sum(encoded.unknown[name].values())


def read(part: Part, protocol: Protocol, window: int, count: int, seed: int) -> Iterator[Batch]:
    """The batches of a protocol."""
    if protocol == "carried":
        return carried(part, CARRIED_CHUNK)
    return evaluation_windows(part, window) if protocol == "windows" else random_windows(part, window, count, seed)


def losses(run: Run, engine: Engine, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Float[Tensor, "b t"]]]:
    """Batches with the nats of their targets, the state carried from one to the next."""
    if isinstance(engine, Native):
        yield from forced_losses(engine, batches)
        return
    state = None
    for batch in batches:
        batch = to_device(batch, run.device)
        found, state = run.model.losses(batch, carried_into(batch, state))
        yield batch, found


def forced_losses(engine: Native, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Float[Tensor, "b t"]]]:
    """The same by the step engine, which is forced to draw the targets."""
    program, session = engine.packed.program, None
    for batch in batches:
        rows = list(range(len(batch.restart)))
        session = session or Session(engine.packed, len(rows), engine.threads)
        for row in batch.restart.nonzero().flatten().tolist():
            session.set_state([row], program.first_state(1, tuple(batch.fields[row].tolist())))
        steps, last = batch.mask.sum(1).numpy(), batch.inputs[:, 0].numpy()
        found = session.run(rows, steps, last=last, forced=batch.targets.numpy())
        if found.interrupted:
            raise KeyboardInterrupt
        yield batch, -torch.from_numpy(found.log_probabilities)


@torch.inference_mode()
def score(run: Run, read: Iterator[tuple[Batch, Float[Tensor, "b t"]]]) -> tuple[float, float, int, float, int, int]:
    """Mean nats, standard error and predictions; nats, characters and bytes of what is text."""
    characters, sizes = (torch.as_tensor(lengths) for lengths in text_lengths(run.codec))
    sums, counts, unknown = [], [], -1 if run.codec.unknown is None else run.codec.unknown
    text_nats, text_characters, text_bytes = 0.0, 0, 0
    for batch, found in read:
        mask, targets = batch.mask.cpu(), batch.targets.cpu()
        nats = torch.where(mask, found.cpu().double(), 0)
        for block in range(0, nats.shape[1], 64):  # blocks, so that one long row has a standard error too
            sums.append(nats[:, block : block + 64].sum(1))
            counts.append(mask[:, block : block + 64].sum(1))
        is_text = mask & (sizes[targets] > 0) & (targets != unknown)
        text_nats += float(nats[is_text].sum())
        text_characters += int(characters[targets][is_text].sum())
        text_bytes += int(sizes[targets][is_text].sum())
    total = summarise(torch.cat(sums), torch.cat(counts), "", "")
    return total.nats, total.stderr, total.predictions, text_nats, text_characters, text_bytes


def text_lengths(codec: TextCodec) -> tuple[np.ndarray, np.ndarray]:
    """Characters and UTF-8 bytes that each symbol stands for; a character counts where its first byte is."""
    first = [sum((byte & 0xC0) != 0x80 for byte in piece) for piece in codec.pieces]
    return np.array(first, np.int64), codec.byte_lengths().astype(np.int64)
