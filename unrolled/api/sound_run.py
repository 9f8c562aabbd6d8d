"""A run that makes sound. Free of torch until its weights are needed."""

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.api.engines import EngineName, Native
from unrolled.api.run import Request, Run, make_rules
from unrolled.api.sound_ranges import kept_ranges, scores_of, verdict_on
from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import DataError, RunError, UsageError
from unrolled.data.sound_files import opened
from unrolled.data.sound_tracks import SILENT
from unrolled.engine.runtime import Precision
from unrolled.generation.folding import length_of_each
from unrolled.generation.sound import Block, blocks, folded
from unrolled.generation.sound_writer import SoundWriter, Tags
from unrolled.inspection.collapse import Ranges
from unrolled.store.records import Sample

SPECIMEN = 2.0  # seconds that are rendered while a model trains
PATIENCE = 1.5  # seconds that this may take, after which a specimen ends earlier
HEARD = 20.0  # seconds of a seed recording that are read before the model goes on from it, at most
FOLDER = "sounds"  # in a run folder


def ending(path: Path, rate: int) -> tuple[np.ndarray, list[str]]:
    """The last seconds of a recording, as mono samples at `rate`, and what people should know of how it is read.

    Raises: DataError for a file that cannot be read.
    """
    heard, most = np.zeros(0, np.float32), int(HEARD * rate)
    with opened(path) as reader:
        for block in reader.mono(rate):
            heard = np.concatenate([heard, block])[-most:]
    notes = [*reader.header.notes(path, rate), *reader.doubts]
    if reader.seconds > HEARD:
        notes.append(f"only the last {HEARD:g} of its {reader.seconds:.1f} s are heard")
    # the range of the file is asked for too, as resampling rings where an offset begins
    if min(reader.range, np.ptp(heard) if len(heard) else 0.0) < SILENT:
        notes.append("silence only: the model goes on from silence")
    return heard, notes


def memory(engine: Any) -> int | None:
    """The samples that the model of an engine looks back on; None where it may remember all."""
    if not isinstance(engine, Native):
        return engine.model.backbone.receptive_field
    program = engine.packed.program  # which there may be without torch
    state = [buffer for name, buffer in program.state.items() if name not in program.shifts]
    return 1 + sum(ring.shape[0] for ring in state) if all(buffer.role == "ring" for buffer in state) else None


@dataclass(frozen=True, kw_only=True)
class SoundRequest(Request):
    """`seconds` of sound that go on from the end of the recording `prompt`, or from silence.

    A piece is folded from `fold` streams, made side by side, that overlap by `overlap` seconds. Sample n of several is
    made of the streams from `stream` + n * `fold`.
    """

    prompt: str = ""
    seconds: float = 5.0
    fold: int = 1
    overlap: float = 1.0

    @property
    def told_fold(self) -> dict[str, Any]:
        """Fold and overlap as samples tell them, which leave out a single stream."""
        return {} if self.fold == 1 else {"fold": self.fold, "overlap": self.overlap}


@dataclass
class SoundRun(Run):
    """A run of a sound system; `said` are the lines on recordings to go on from, each said once."""

    codec: SoundCodec
    said: set[str] = field(default_factory=set, repr=False)

    @property
    def forbidden(self) -> tuple[int, ...]:
        """The symbol that is no level and that generation does not leave out by itself."""
        return (self.codec.end,)

    @property
    def stops(self) -> bool:
        """Sound goes on for as long as it is asked to."""
        return False

    def start(self, request: SoundRequest, note: Callable[[str], None] | None = None) -> list[int]:
        """The symbols of the end of a recording; without one, a recording begins.

        Raises: DataError for a file that cannot be read.
        """
        if not request.prompt:
            return [self.codec.begin]
        data = self.config.data
        heard, lines = ending(Path(request.prompt), self.codec.rate)
        most = memory(self.engine(request)) or 0
        if len(heard) < most:
            short = f"its {len(heard):,} samples are fewer than the {most:,} that the model looks back on"
            lines.append(f"{short}: it goes on as near the beginning of a recording")
        for line in (f"{request.prompt}: {line}" for line in lines):
            if note is not None and line not in self.said:
                note(line)
                self.said.add(line)
        heard = (heard - np.float32(data["offset"])) * np.float32(data["gain"])
        return [self.codec.begin, *self.codec.encode(heard).tolist()]

    def generate(self, prompt: str | Path = "", **settings: Any) -> np.ndarray:
        """One piece of sound, in float32 between -1 and 1; `settings` as for `samples`."""
        return self.samples(prompt, 1, **settings)[0]

    def samples(
        self,
        prompt: str | Path = "",
        count: int = 1,
        *,
        seconds: float = 5.0,
        fold: int = 1,
        overlap: float = 1.0,
        seed: int = 0,
        stream: int = 0,
        where: dict[str, str] | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        threads: int = 1,
        **rules: Any,
    ) -> np.ndarray:
        """`count` pieces of sound made in one batch, of shape count x samples; each is what it would be alone.

        `prompt` is the path of a recording to go on from, which is not part of the result. `fold` is how many streams
        make one piece, each fading into the next over `overlap` seconds. Nothing is written down.
        Raises: UsageError for a setting, DataError for a recording, that cannot be used.
        """
        request = SoundRequest(
            prompt=str(prompt), seconds=seconds, fold=fold, overlap=overlap, seed=seed, stream=stream,
            where=where or {}, rules=make_rules(rules), engine=engine, precision=precision, threads=threads,
        )  # fmt: skip
        made = [block.samples for block in self.blocks(request, count)]
        return np.concatenate([np.zeros((count, 0), np.float32), *made], 1)

    def blocks(self, request: SoundRequest, count: int, note: Callable[[str], None] | None = None) -> Iterator[Block]:
        """Blocks of sound as they come, for `count` pieces side by side; of folded ones the first stream does."""
        if count < 1 or not request.seconds > 0:
            raise UsageError(f"samples is {count} and seconds {request.seconds:g}: at least 1 of more than 0 seconds")
        length, overlap = self.lengths(request)
        steps = self.drawn(request, [self.start(request, note)] * (count * request.fold), length, note)
        made = blocks(steps, self.codec)
        return made if request.fold == 1 else folded(made, count, request.fold, overlap)

    def lengths(self, request: SoundRequest) -> tuple[int, int]:
        """Samples of each stream of a piece, and of an overlap. Raises: UsageError for a fold that cannot be made."""
        if request.fold < 1 or not request.overlap >= 0:
            raise UsageError(
                f"fold is {request.fold} and overlap {request.overlap:g}: at least 1 stream, 0 seconds or more"
            )
        samples, overlap = (round(seconds * self.codec.rate) for seconds in (request.seconds, request.overlap))
        return length_of_each(max(1, samples), request.fold, overlap), overlap

    def specimen(self, seed: int, stream: int) -> str:
        """The name of a file with a short piece of the model as it is."""
        path, began = self.folder.path / FOLDER / f"update-{stream:07d}.wav", time.monotonic()
        request = SoundRequest(seconds=SPECIMEN, seed=seed, stream=stream, engine="native")
        try:
            self.engine(request)
        except RunError:  # there are no kernels here, or they cannot run the model
            request = replace(request, engine="torch")
        with closing(self.written(request, [path])) as blocks:
            for _ in blocks:
                if time.monotonic() - began > PATIENCE:
                    break
        return str(path)

    def written(
        self, request: SoundRequest, paths: Sequence[Path], note: Callable[[str], None] | None = None
    ) -> Generator[Block, None, None]:
        """Blocks of sound as they come, for one piece for each path, after they have been written there."""
        with ExitStack() as stack:
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            streams = range(request.stream, request.stream + request.fold * len(paths), request.fold)
            tags = [Tags(f"{self.folder.name} {stream}") for stream in streams]
            writers = [
                stack.enter_context(SoundWriter(path, self.codec.rate, tag, replace=True))
                for path, tag in zip(paths, tags, strict=True)
            ]
            for block in self.blocks(request, len(paths), note):
                for writer, row in zip(writers, block.samples, strict=True):
                    writer.write(row)
                yield block

    def render(
        self,
        request: SoundRequest,
        paths: Sequence[Path],
        hear: Callable[[np.ndarray], None] = lambda samples: None,
        note: Callable[[str], None] | None = None,
        score: Callable[[list[Sample]], Iterable[Sample]] = list,
    ) -> list[Sample]:
        """One piece of a request for each path, written there while it is made and then written down in the run.

        `hear` is given the samples of the first piece as they come, `score` may give the samples further scores. After
        Ctrl-C, what was made until then is written down without those before KeyboardInterrupt goes on.
        """
        count, nats = 0, np.zeros(len(paths))
        try:
            for block in self.written(request, paths, note):
                hear(block.samples[0])
                count, nats = count + block.samples.shape[1], nats + block.log_likelihood
        except KeyboardInterrupt:
            score = list
            raise
        finally:
            if count:
                made = replace(request, seconds=count / self.codec.rate)
                found = enumerate(zip(paths, nats.tolist(), strict=True))
                samples = [self.sample(made, number, path, sum_) for number, (path, sum_) in found]
                samples = self.record([*score(samples)])
        return samples

    def sample(self, request: SoundRequest, number: int, path: Path, log_likelihood: float) -> Sample:
        """The `number`-th piece of a request as it is written down; its text is the name of its file."""
        symbols = request.fold * self.lengths(request)[0]
        return Sample(
            model_sha256=self.model_sha256,
            seed=request.seed,
            stream=request.stream + number * request.fold,
            settings={
                "seconds": request.seconds, **request.told_fold, **asdict(request.rules), **request.told_precision,
            },
            engine=self.engine(request).name,
            prompt=request.prompt,
            text=str(path),
            symbols=symbols,
            where=request.where,
            scores={
                "log_likelihood": log_likelihood, "likelihood": log_likelihood / symbols, **self.soundness(path),
            },
        )  # fmt: skip

    @cached_property
    def ranges(self) -> Ranges | None:
        """The ranges of the training sound, if the run keeps them."""
        return kept_ranges(self.folder)

    def soundness(self, path: Path) -> dict[str, Any]:
        """How a sound file compares with the training sound, as scores; none where that cannot be told."""
        try:
            return {} if self.ranges is None else scores_of(verdict_on(path, self.codec, self.ranges))
        except (DataError, UsageError):  # it is too short, or there is no soundfile to read it again with
            return {}

    def place(self, request: SoundRequest, number: int) -> Path:
        """Where the `number`-th piece of a request is kept: a name that follows from all that it depends on."""
        what = json.dumps(asdict(replace(request, threads=1)), sort_keys=True, default=str) + self.model_sha256
        digest = hashlib.sha256(what.encode()).hexdigest()[:8]
        return self.folder.path / FOLDER / f"seed-{request.seed}-{request.stream + number * request.fold}-{digest}.flac"
