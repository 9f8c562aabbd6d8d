"""What a run scores, by a protocol that is always named with the figure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from unrolled.api.baselines import baselines_of
from unrolled.api.costs import keep_cost
from unrolled.api.engines import Engine, EngineName, Native
from unrolled.api.media import find_medium
from unrolled.api.run import Run
from unrolled.api.runs import given_run
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import Batch
from unrolled.core.errors import DataError, UsageError
from unrolled.core.shapes import Bool, Float, Int, Tensor
from unrolled.data.encoded import Encoded, Part
from unrolled.data.evaluation import carried, evaluation_windows, random_windows
from unrolled.engine.runtime import Precision, Session
from unrolled.inspection.baselines import Baselines
from unrolled.store.records import Cost
from unrolled.training.evaluation import carried_into, summarise, to_device

Protocol = Literal["carried", "windows", "random"]
Split = Literal["validation", "train", "all"]
CARRIED_CHUNK = 2048


@dataclass(frozen=True)
class Evaluation:
    """`nats` per symbol with standard error `stderr` over `predictions` symbols of `split`, read by `protocol`.

    `window` is in symbols. Bits per character and per byte leave out what is no text, such as the end symbol, and the
    `unknown` symbols, of which nobody knows how many characters they stand for; sound has bits per sample instead, and
    what does not fit is None. `cost`: nats per symbol above those that the same engine has in float32, None where
    `precision` is float32. `baselines`: bits per sample of trivial predictors on all of the part that was scored, for
    sound; `under_best` is by how much the run is under the best of them.
    """

    nats: float
    stderr: float
    predictions: int
    perplexity: float
    bits_per_character: float | None
    bits_per_byte: float | None
    bits_per_sample: float | None
    protocol: str
    window: int
    state: str
    split: str
    data: str
    unknown: int
    engine: str = "torch"
    precision: Precision = "float32"
    cost: float | None = None
    baselines: Baselines | None = None
    under_best: float | None = None


def evaluate(
    run: Run | str | Path,
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
    """Score a run, given as such or by name or path, on a part of its own data or on other `data`.

    Other data are read whole unless `split` says otherwise.
    "carried" reads the part once with the state carried on; "windows" all windows side by side, each started anew;
    "random" `count` windows at random places, nanoGPT's estimate. Windows are as long as in training by default.
    `engine` "auto" is torch, which reads in parallel, and for another `precision` than float32 the native one; what
    that costs on the run's own validation part is kept in the run.
    Raises: DataError for data that is missing or too short, UsageError for a protocol that the model cannot follow.
    """
    scored: Run = given_run("evaluate", run)
    protocol, window = settled(scored, protocol, window)
    split = split or ("all" if data else "validation")
    source = evaluation_source(scored, data, split)
    chosen = scored.engines.choose("torch" if (engine, precision) == ("auto", "float32") else engine, precision)
    reading = partial(read, source.part, protocol, window, count, seed)
    found = score(scored, losses(scored, chosen, reading()))
    cost = None
    if precision != "float32":
        cost = found.nats - score(scored, losses(scored, scored.engines.choose("native", "float32"), reading())).nats
        if not data and split == "validation" and protocol != "random":
            keep_cost(scored, Cost(scored.model_sha256, precision, found.nats, cost, found.predictions, protocol))
    trivial = trivially(scored, source)
    return Evaluation(
        found.nats, found.stderr, found.predictions, math.exp(min(found.nats, 700.0)),
        found.bits_per_character, found.bits_per_byte, found.bits_per_sample,
        protocol, CARRIED_CHUNK if protocol == "carried" else window,
        "carried" if protocol == "carried" else "anew in each window", split,
        ", ".join(map(str, data)) or "the run's own", source.unknown, chosen.name, precision, cost,
        trivial, None if trivial is None else trivial.best - (found.bits_per_sample or 0.0),
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


class Source(NamedTuple):
    """A part to score on, how many unknown symbols it holds, and the data that it is of."""

    part: Part
    unknown: int
    encoded: Encoded
    fingerprint: str


def evaluation_source(run: Run, data: Sequence[str | Path], split: Split) -> Source:
    """The part of the run's own data, or of other, that a split names."""
    medium, options = find_medium(run.system.medium), run.config.training["options"]
    paths = list(data) or run.config.data["paths"]
    try:
        corpus = medium.reopen(run, paths, options, 1.0 if split == "all" else options["split"])
    except DataError as problem:
        if data:
            raise
        raise DataError(f"the data of run {run.folder.name} cannot be read: {problem}; or name other data") from None
    if not data and split != "all" and corpus.fingerprint() != run.config.data["fingerprint"]:
        raise DataError(
            f"the data of run {run.folder.name} has changed since it was trained: name the data to score on"
        )
    encoded = medium.encode(corpus, run.codec, run.fields)
    name = "validation" if split == "validation" else "train"
    part = encoded.validation if name == "validation" else encoded.train
    if len(part.symbols) < 2:
        raise DataError(f"the {split} part of {paths[0]} has {len(part.symbols)} symbols: too few to score")
    return Source(part, sum(encoded.unknown[name].values()), encoded, corpus.fingerprint())


def trivially(run: Run, source: Source) -> Baselines | None:
    """What trivial predictors score on the same part, None for text."""
    if run.system.medium != "sound":
        return None

    def train() -> Part:
        own = source.fingerprint == run.config.data["fingerprint"]
        return source.encoded.train if own else evaluation_source(run, (), "train").part

    return baselines_of(run, train, source.part, source.fingerprint)


def read(part: Part, protocol: Protocol, window: int, count: int, seed: int) -> Iterator[Batch]:
    """The batches of a protocol."""
    if protocol == "carried":
        return carried(part, CARRIED_CHUNK)
    return evaluation_windows(part, window) if protocol == "windows" else random_windows(part, window, count, seed)


def losses(run: Run, engine: Engine, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Float[Tensor, "b t"]]]:
    """Batches with the nats of their targets, the state carried from one to the next."""
    return forced_losses(engine, batches) if isinstance(engine, Native) else model_losses(run, batches)


def model_losses(run: Run, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Float[Tensor, "b t"]]]:
    """`losses` by the model itself, which reads in parallel."""
    state = None
    for batch in batches:
        batch = to_device(batch, run.device)
        found, state = run.model.losses(batch, carried_into(batch, state))
        yield batch, found


def forced_losses(engine: Native, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Float[Tensor, "b t"]]]:
    """`losses` by the step engine, which is forced to draw the targets."""
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


class Scored(NamedTuple):
    """The first figures of an `Evaluation`, without its perplexity."""

    nats: float
    stderr: float
    predictions: int
    bits_per_character: float | None
    bits_per_byte: float | None
    bits_per_sample: float | None


@torch.inference_mode()
def score(run: Run, read: Iterator[tuple[Batch, Float[Tensor, "b t"]]]) -> Scored:
    """What was read adds up to."""
    sums, counts, text = [], [], TextBits(run.codec) if isinstance(run.codec, TextCodec) else None
    for batch, found in read:
        mask = batch.mask.cpu()
        nats = torch.where(mask, found.cpu().double(), 0)
        for block in range(0, nats.shape[1], 64):  # blocks, so that one long row has a standard error too
            sums += nats[:, block : block + 64].sum(1).tolist()  # numbers: small tensors that stay break up the heap
            counts += mask[:, block : block + 64].sum(1).tolist()
        if text is not None:
            text.add(nats, batch.targets.cpu(), mask)
    total = summarise(torch.tensor(sums, dtype=torch.float64), torch.tensor(counts), "", "")
    if text is None:
        return Scored(total.nats, total.stderr, total.predictions, None, None, total.nats / math.log(2))
    per_character, per_byte = text.bits()
    return Scored(total.nats, total.stderr, total.predictions, per_character, per_byte, None)


class TextBits:
    """Bits of what is text, counted per character and per UTF-8 byte; a character counts where its first byte is."""

    def __init__(self, codec: TextCodec) -> None:
        first = [sum((byte & 0xC0) != 0x80 for byte in piece) for piece in codec.pieces]
        self.characters, self.sizes = torch.tensor(first), torch.as_tensor(codec.byte_lengths().astype(np.int64))
        self.unknown = -1 if codec.unknown is None else codec.unknown
        self.nats, self.counted, self.bytes = 0.0, 0, 0

    def add(self, nats: Float[Tensor, "b t"], targets: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> None:
        """Count one batch."""
        is_text = mask & (self.sizes[targets] > 0) & (targets != self.unknown)
        self.nats += float(nats[is_text].sum())
        self.counted += int(self.characters[targets][is_text].sum())
        self.bytes += int(self.sizes[targets][is_text].sum())

    def bits(self) -> tuple[float, float]:
        """Bits per character and per byte."""
        return self.nats / max(1, self.counted) / math.log(2), self.nats / max(1, self.bytes) / math.log(2)
