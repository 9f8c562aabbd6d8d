"""A trained run, loaded and ready."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from unrolled.codecs import codec_from_json
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import System
from unrolled.core.errors import RunError, UsageError
from unrolled.core.protocol import Context
from unrolled.data.fields import FieldTable
from unrolled.generation.rules import Rules
from unrolled.generation.text import Piece, Text, collect, gather, pieces
from unrolled.models.sequence import SequenceModel
from unrolled.store.configs import RunConfig, from_json
from unrolled.store.database import warn
from unrolled.store.folders import RunFolder, find_run, list_runs
from unrolled.store.recorder import Recorder
from unrolled.store.records import Sample
from unrolled.systems import find_system
from unrolled.training.checkpoints import read_tensors


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class Run:
    """A run folder with its model in evaluation mode."""

    folder: RunFolder
    config: RunConfig
    system: System
    codec: TextCodec
    fields: FieldTable
    model: SequenceModel
    model_sha256: str = ""
    runs: Path = Path("runs")

    @property
    def device(self) -> torch.device:
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

    def context(self, where: dict[str, str], rows: int) -> Context | None:
        """Conditioning on the fields in `where`.

        Raises: UsageError for a field or value that the run has not learned.
        """
        ids = self.fields.resolve(where)
        if not self.fields.names:
            return None
        return self.model.context(torch.tensor([ids] * rows, device=self.device))

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
        **rules: Any,
    ) -> list[str]:
        """The texts of `count` samples made in one batch and numbered from `stream`; each is what it would be alone.

        `where` chooses conditioning fields; `rules` are those of `generation.rules.Rules`, neutral by default. The
        samples are written down in the run.
        Raises: UsageError for a setting, DataError for a symbol of the prompt, that cannot be used.
        """
        require(self.system, "generate")
        request = Request(prompt, length, seed, stream, where or {}, make_rules(rules))
        return [sample.text for sample in self.many(request, count)]

    def many(self, request: "Request", count: int, note: Callable[[str], None] | None = None) -> list[Sample]:
        """`count` samples of a request, made in one batch and written down."""
        texts = collect(**self.arguments(request, count, note), codec=self.codec)
        return self.record([self.sample(request, number, text) for number, text in enumerate(texts)])

    def keep(self, request: "Request", drawn: Sequence[Piece]) -> Sample:
        """Write down the one sample of a request that was drawn piece by piece."""
        (text,) = gather(drawn, [self.start(request.prompt)], self.model.position_limit)
        return self.record([self.sample(request, 0, text)])[0]

    def stream(self, request: "Request", count: int = 1, note: Callable[[str], None] | None = None) -> Iterator[Piece]:
        """Pieces of text as they come, for `count` samples side by side."""
        return pieces(**self.arguments(request, count, note), codec=self.codec)

    def arguments(self, request: "Request", count: int, note: Callable[[str], None] | None) -> dict[str, Any]:
        """What `generation` needs to know of this run and a request."""
        if count < 1 or request.length < 0:
            raise UsageError(f"samples is {count} and length {request.length}: at least 1 sample of length 0 or more")
        return {
            "model": self.model,
            "prompts": [self.start(request.prompt)] * count,
            "length": request.length,
            "rules": request.rules,
            "seed": request.seed,
            "streams": range(request.stream, request.stream + count),
            "context": self.context(request.where, count),
            "stop_at_end": self.is_records,
            "forbidden": self.forbidden,
            "note": note,
        }

    def sample(self, request: "Request", number: int, text: Text) -> Sample:
        """The `number`-th sample of a request as it is written down."""
        return Sample(
            model_sha256=self.model_sha256,
            seed=request.seed,
            stream=request.stream + number,
            settings={"length": request.length, **asdict(request.rules)},
            engine="torch",
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


@dataclass(frozen=True)
class Request:
    """What was asked of a generation."""

    prompt: str = ""
    length: int = 500
    seed: int = 0
    stream: int = 0
    where: dict[str, str] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)


def make_rules(settings: dict[str, Any]) -> Rules:
    """Rules from their names.

    Raises: UsageError for a name or value that is no rule.
    """
    known = list(Rules.__dataclass_fields__)
    if unknown := [name for name in settings if name not in known]:
        raise UsageError(f"no rule of generation is called {unknown[0]!r}: there are {', '.join(known)}")
    return Rules(**settings).validate()


def newest_run(runs: str | Path) -> Path:
    """The folder of the run that was made last.

    Raises: RunError if there is none.
    """
    found = list_runs(Path(runs))
    if not found:
        raise RunError(f"no run in {runs}: train one first, as in `unrolled train book.txt`")
    return max(found, key=lambda folder: (created(folder), folder.name)).path


def created(folder: RunFolder) -> str:
    """When a run was made; "" for one that cannot be read, so that it hides none of the others."""
    try:
        return folder.config().created
    except RunError:
        return ""


def chosen_run(command: str, run: str | Path | None, runs: str | Path) -> Run:
    """The run called `run`, or the newest, for a command of the command line.

    Raises: UsageError, before anything is loaded, if the command makes no sense for its system.
    """
    name = newest_run(runs) if run is None else run
    require(find_system(find_run(name, Path(runs)).config().system), command)
    return load(name, runs=runs)


def require(system: System, command: str) -> None:
    """Raises: UsageError if a command makes no sense for a system."""
    if command not in system.commands:
        known = ", ".join(sorted(system.commands)) or "none"
        raise UsageError(f"system {system.name} has no command {command!r}: its commands are {known}")


def load(run: str | Path, *, runs: str | Path = "runs", device: torch.device | None = None) -> Run:
    """The run called `run` in `runs`, or the run folder at that path, verified and ready.

    Raises: RunError for a folder that is missing, damaged or from a newer version.
    """
    folder = find_run(run, Path(runs))
    hashes = folder.verify()
    config = folder.config()
    system = find_system(config.system)
    codec = codec_from_json(folder.codec())
    fields = FieldTable.from_json(config.data.get("fields", {}))
    settings = from_json(system.Config, config.config, str(folder.path / "config.json"))
    model = system.build(settings, codec, fields.sizes)
    load_weights(model, folder.model)
    model.to(device or best_device()).eval()
    return Run(folder, config, system, codec, fields, model, hashes["model.safetensors"], Path(runs))


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Put the weights of a safetensors file into a model.

    Raises: RunError if they are of another model.
    """
    tensors = read_tensors(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as problem:
        raise RunError(
            f"{path}: the weights are of another model than config.json says: copy the run again"
        ) from problem
