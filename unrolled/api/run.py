"""A trained run: what it is, and how it writes. Free of torch until its weights are needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from unrolled.api.engines import Engine, EngineName, Engines, torch_half
from unrolled.codecs.text import TextCodec
from unrolled.core.errors import UsageError
from unrolled.data.fields import FieldTable
from unrolled.engine.runtime import Precision
from unrolled.generation.rules import Rules
from unrolled.generation.text import Piece, Step, Text, collect, gather, pieces
from unrolled.store.configs import RunConfig
from unrolled.store.database import warn
from unrolled.store.folders import RunFolder
from unrolled.store.recorder import Recorder
from unrolled.store.records import Sample


@dataclass(frozen=True)
class Request:
    """What was asked of a generation; `precision` and `threads` are those of the native engine."""

    prompt: str = ""
    length: int = 500
    seed: int = 0
    stream: int = 0
    where: dict[str, str] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    engine: EngineName = "auto"
    precision: Precision = "float32"
    threads: int = 1


@dataclass
class Run:
    """A run folder. `model_sha256` names the weights that it holds, and is "" for those of a training that goes on."""

    folder: RunFolder
    config: RunConfig
    codec: TextCodec
    fields: FieldTable
    model_sha256: str = ""
    runs: Path = Path("runs")
    wanted: Any = None  # the device that was asked for

    @cached_property
    def system(self) -> Any:
        """The system that made the run."""
        return import_module("unrolled.systems").find_system(self.config.system)

    @cached_property
    def model(self) -> Any:
        """The model in evaluation mode, its weights verified.

        Raises: RunError for a folder that is damaged, or holds weights of another model.
        """
        return torch_half().load_model(self)

    @cached_property
    def engines(self) -> Engines:
        """What can step the model."""
        return Engines(self)

    @property
    def device(self) -> Any:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def is_records(self) -> bool:
        """Whether the model learned records, which begin and end, or one long text."""
        return bool(self.config.data.get("records"))

    @cached_property
    def forbidden(self) -> tuple[int, ...]:
        """Symbols that are never drawn: the unknown one, and those that training text never held."""
        unknown = () if self.codec.unknown is None else (self.codec.unknown,)
        return unknown if self.is_records else (*unknown, self.codec.end)

    def start(self, prompt: str) -> list[int]:
        """The symbols that a prompt stands for; without any, a record begins, or a new line of a long text.

        Raises: DataError for a symbol that the model does not know.
        """
        symbols = self.codec.encode(prompt).tolist()
        if self.is_records:
            return [self.codec.begin, *symbols]
        return symbols or self.codec.encode(self.opening).tolist()

    @cached_property
    def opening(self) -> str:
        """What stands before the first character where there is no prompt: a new line if the model knows it."""
        return "\n" if not self.codec.unknown_symbols("\n") else self.codec.decode([0])

    def context(self, where: dict[str, str], rows: int) -> Any:
        """Conditioning of the model on the fields in `where`, None for a run without fields.

        Raises: UsageError for a field or value that the run has not learned.
        """
        return torch_half().context(self.model, self.fields.resolve(where), rows)

    def generate(self, prompt: str = "", **settings: Any) -> str:
        """The text of one sample, its prompt included; `settings` as for `samples`."""
        return self.samples(prompt, 1, **settings)[0]

    def samples(
        self,
        prompt: str = "",
        count: int = 1,
        *,
        length: int = 500,
        seed: int = 0,
        stream: int = 0,
        where: dict[str, str] | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        threads: int = 1,
        **rules: Any,
    ) -> list[str]:
        """The texts of `count` samples made in one batch and numbered from `stream`; each is what it would be alone.

        `where` chooses conditioning fields; `rules` are those of `generation.rules.Rules`, neutral by default.
        `precision` and `threads` are those of the native engine, which runs the weights that are in the run folder.
        The samples are written down in the run.
        Raises: UsageError for a setting, DataError for a symbol of the prompt, that cannot be used.
        """
        made = make_rules(rules)
        request = Request(prompt, length, seed, stream, where or {}, made, engine, precision, threads)
        return [sample.text for sample in self.many(request, count)]

    def many(self, request: Request, count: int, note: Callable[[str], None] | None = None) -> list[Sample]:
        """`count` samples of a request, made in one batch and written down."""
        texts = self.texts(request, count, note)
        return self.record([self.sample(request, number, text) for number, text in enumerate(texts)])

    def texts(self, request: Request, count: int, note: Callable[[str], None] | None = None) -> list[Text]:
        """`count` samples of a request, made in one batch."""
        steps, limit = self.steps(request, count, note), self.engine(request).limit
        return collect(steps, self.codec, [self.start(request.prompt)] * count, request.length, limit)

    def keep(self, request: Request, drawn: Sequence[Piece]) -> Sample:
        """Write down the one sample of a request that was drawn piece by piece."""
        (text,) = gather(drawn, [self.start(request.prompt)], self.engine(request).limit)
        return self.record([self.sample(request, 0, text)])[0]

    def stream(self, request: Request, count: int = 1, note: Callable[[str], None] | None = None) -> Iterator[Piece]:
        """Pieces of text as they come, for `count` samples side by side."""
        return pieces(self.steps(request, count, note), self.codec, count, request.length)

    def engine(self, request: Request) -> Engine:
        """What steps the model for a request."""
        return self.engines.choose(request.engine, request.precision, request.threads)

    def steps(self, request: Request, count: int, note: Callable[[str], None] | None = None) -> Iterator[Step]:
        """The symbols of `count` samples of a request, step by step.

        Raises: UsageError for a setting, DataError for a symbol of the prompt, that cannot be used.
        """
        if count < 1 or request.length < 0:
            raise UsageError(f"samples is {count} and length {request.length}: at least 1 sample of length 0 or more")
        prompts, ids = [self.start(request.prompt)] * count, self.fields.resolve(request.where)
        return self.engine(request).steps(
            prompts, ids,
            length=request.length, rules=request.rules, seed=request.seed,
            streams=range(request.stream, request.stream + count),
            stop_at_end=self.is_records, forbidden=self.forbidden, note=note,
        )  # fmt: skip

    def sample(self, request: Request, number: int, text: Text) -> Sample:
        """The `number`-th sample of a request as it is written down."""
        precision = {} if request.precision == "float32" else {"precision": request.precision}
        return Sample(
            model_sha256=self.model_sha256,
            seed=request.seed,
            stream=request.stream + number,
            settings={"length": request.length, **asdict(request.rules), **precision},
            engine=self.engine(request).name,
            prompt=request.prompt,
            text=request.prompt + text.text,
            symbols=len(text.symbols),
            where=request.where,
            scores={"log_likelihood": text.log_likelihood, "rereads": text.rereads},
        )

    def record(self, samples: Sequence[Sample]) -> list[Sample]:
        """Write samples down in the run, and give them with their ids; where that fails, one line on stderr says so."""
        try:
            with Recorder(self.folder, self.runs) as recorder:
                return recorder.samples(samples)
        except OSError as problem:
            warn(f"{self.folder.path}: cannot keep samples there ({problem.strerror}): make it writable")
            return [sample.named() for sample in samples]


def make_rules(settings: dict[str, Any]) -> Rules:
    """Rules from their names.

    Raises: UsageError for a name or value that is no rule.
    """
    known = list(Rules.__dataclass_fields__)
    if unknown := [name for name in settings if name not in known]:
        raise UsageError(f"no rule of generation is called {unknown[0]!r}: there are {', '.join(known)}")
    return Rules(**settings).validate()
