"""A trained run: what it is, and what steps its model. Free of torch until its weights are needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from unrolled.api.engines import Engine, EngineName, Engines, torch_half
from unrolled.codecs import Codec
from unrolled.core.errors import UsageError
from unrolled.data.fields import FieldTable
from unrolled.engine.runtime import Precision
from unrolled.generation.rules import Rules
from unrolled.generation.text import Step
from unrolled.store.configs import RunConfig
from unrolled.store.database import warn
from unrolled.store.folders import RunFolder
from unrolled.store.recorder import Recorder
from unrolled.store.records import Sample


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked of a generation; `precision` and `threads` are those of the native engine."""

    seed: int = 0
    stream: int = 0
    where: dict[str, str] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    engine: EngineName = "auto"
    precision: Precision = "float32"
    threads: int = 1

    @property
    def told_precision(self) -> dict[str, str]:
        """The precision as samples tell it, which leave out the usual one."""
        return {} if self.precision == "float32" else {"precision": self.precision}

    @property
    def told(self) -> dict[str, Any]:
        """How symbols are drawn, as samples tell it."""
        return {**asdict(self.rules), **self.told_precision}


@dataclass
class Run:
    """A run folder. `model_sha256` names the weights that it holds, and is "" for those of a training that goes on."""

    folder: RunFolder
    config: RunConfig
    codec: Codec
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

    @property
    def forbidden(self) -> tuple[int, ...]:
        """Symbols that are never drawn."""
        raise NotImplementedError

    @property
    def stops(self) -> bool:
        """Whether a sample ends where a record would."""
        raise NotImplementedError

    def specimen(self, seed: int, stream: int) -> str:
        """What a person is shown of the model while it trains: a short text, or the name of a file."""
        raise NotImplementedError

    def context(self, where: dict[str, str], rows: int) -> Any:
        """Conditioning of the model on the fields in `where`, None for a run without fields.

        Raises: UsageError for a field or value that the run has not learned.
        """
        return torch_half().context(self.model, self.fields.resolve(where), rows)

    def engine(self, request: Request) -> Engine:
        """What steps the model for a request."""
        return self.engines.choose(request.engine, request.precision, request.threads)

    def drawn(
        self, request: Request, prompts: Sequence[Sequence[int]], length: int, note: Callable[[str], None] | None = None
    ) -> Iterator[Step]:
        """At most `length` further symbols of each of `prompts`, one sample of the request each, step by step.

        Raises: UsageError for a setting that cannot be used.
        """
        if not prompts or length < 0:
            raise UsageError(f"samples is {len(prompts)} and length {length}: at least 1 sample of length 0 or more")
        return self.engine(request).steps(
            prompts, self.fields.resolve(request.where),
            length=length, rules=request.rules, seed=request.seed,
            streams=range(request.stream, request.stream + len(prompts)),
            stop_at_end=self.stops, forbidden=self.forbidden, note=note,
        )  # fmt: skip

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
