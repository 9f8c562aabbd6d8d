"""What a run scores, by a protocol that is always named with the figure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from unrolled.api.corpora import corpus_for
from unrolled.api.run import Run, require
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import Batch
from unrolled.core.errors import DataError, UsageError
from unrolled.data.corpus import SplitRule
from unrolled.data.encoded import Part, encode_corpus
from unrolled.data.evaluation import carried, evaluation_windows, random_windows
from unrolled.training.evaluation import carried_into, summarise, to_device

Protocol = Literal["carried", "windows", "random"]
Split = Literal["validation", "train", "all"]
CARRIED_CHUNK = 2048


@dataclass(frozen=True)
class Evaluation:
    """`nats` per symbol with standard error `stderr` over `predictions` symbols of `split`, read by `protocol`.

    `window` is in symbols. Bits per character and per byte leave out what is no text, such as the end symbol, and the
    `unknown` symbols, of which nobody knows how many characters they stand for.
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


def evaluate(
    run: Run,
    data: Sequence[str | Path] = (),
    *,
    protocol: Protocol | None = None,
    split: Split | None = None,
    window: int | None = None,
    count: int = 240,
    seed: int = 0,
) -> Evaluation:
    """Score a run on a part of its own data, or on other `data` (then on all of it unless `split` says otherwise).

    "carried" reads the part once with the state carried on; "windows" all windows side by side, each started anew;
    "random" `count` windows at random places, nanoGPT's estimate. Windows are as long as in training by default.
    Raises: DataError for data that is missing or too short, UsageError for a protocol that the model cannot follow.
    """
    require(run.system, "evaluate")
    limit = run.model.position_limit
    protocol = protocol or ("windows" if limit else "carried")
    if protocol == "carried" and limit:
        raise UsageError(f"protocol carried needs a state without limit, this model has {limit} positions: use windows")
    window = int(window or run.config.training["recipe"]["length"])
    if limit and window > limit:
        raise UsageError(f"window {window} > the {limit} positions of this model: pass --window {limit} or less")
    split = split or ("all" if data else "validation")
    part, unknown = evaluation_part(run, data, split)
    batches = read(part, protocol, window, count, seed)
    nats, stderr, predictions, text_nats, characters, size = score(run, batches)
    return Evaluation(
        nats, stderr, predictions, math.exp(min(nats, 700.0)),
        text_nats / max(1, characters) / math.log(2), text_nats / max(1, size) / math.log(2),
        protocol, CARRIED_CHUNK if protocol == "carried" else window,
        "carried" if protocol == "carried" else "anew in each window", split,
        ", ".join(map(str, data)) or "the run's own", unknown,
    )  # fmt: skip


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


@torch.inference_mode()
def score(run: Run, batches: Iterator[Batch]) -> tuple[float, float, int, float, int, int]:
    """Mean nats, standard error and predictions; nats, characters and bytes of what is text."""
    characters, sizes = (torch.as_tensor(lengths, device=run.device) for lengths in text_lengths(run.codec))
    state, sums, counts, unknown = None, [], [], -1 if run.codec.unknown is None else run.codec.unknown
    text_nats, text_characters, text_bytes = 0.0, 0, 0
    for batch in batches:
        batch = to_device(batch, run.device)
        losses, state = run.model.losses(batch, carried_into(batch, state))
        losses = torch.where(batch.mask, losses, 0).double()
        for block in range(0, losses.shape[1], 64):  # blocks, so that one long row has a standard error too
            sums.append(losses[:, block : block + 64].sum(1))
            counts.append(batch.mask[:, block : block + 64].sum(1))
        is_text = batch.mask & (sizes[batch.targets] > 0) & (batch.targets != unknown)
        text_nats += float(losses[is_text].sum())
        text_characters += int(characters[batch.targets][is_text].sum())
        text_bytes += int(sizes[batch.targets][is_text].sum())
    found = summarise(torch.cat(sums).cpu(), torch.cat(counts).cpu(), "", "")
    return found.nats, found.stderr, found.predictions, text_nats, text_characters, text_bytes


def text_lengths(codec: TextCodec) -> tuple[np.ndarray, np.ndarray]:
    """Characters and UTF-8 bytes that each symbol stands for; a character counts where its first byte is."""
    first = [sum((byte & 0xC0) != 0x80 for byte in piece) for piece in codec.pieces]
    return np.array(first, np.int64), codec.byte_lengths().astype(np.int64)
