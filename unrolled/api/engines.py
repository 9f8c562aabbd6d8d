"""What steps a run's model: the native engine where it can, torch where it must. Free of torch until it is chosen."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from unrolled.core.errors import RunError, UsageError
from unrolled.engine import program_file, runtime
from unrolled.engine.program import Program
from unrolled.engine.runtime import Packed, Precision, Session
from unrolled.generation import native
from unrolled.generation.text import Step
from unrolled.store.database import warn

EngineName = Literal["auto", "torch", "native"]
PROGRAM = "step_program.safetensors"  # in a run folder; made from the weights, so that it may be missing
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # without one of them torch finds no GPU


@runtime_checkable
class Engine(Protocol):
    """What draws symbols."""

    @property
    def name(self) -> str:
        """What samples say that made them."""
        ...

    @property
    def limit(self) -> int | None:
        """The number of learned positions, None where there is no limit."""
        ...

    def steps(self, prompts: Sequence[Sequence[int]], ids: Sequence[int], **settings: Any) -> Iterator[Step]:
        """Further symbols of each prompt under fields of these ids; `settings` are those of `generation`."""
        ...


class Native(NamedTuple):
    """The step engine."""

    packed: Packed
    threads: int
    limit: int | None
    name: str = "native"

    def steps(self, prompts: Sequence[Sequence[int]], ids: Sequence[int], **settings: Any) -> Iterator[Step]:
        """As `Engine` says."""
        session = Session(self.packed, len(prompts), self.threads)
        return native.generate(session, prompts, fields=ids, **settings)


class Engines:
    """The engines of a run, each made once; `run` is a `Run`."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.made: dict[tuple[str, str, int], Engine] = {}
        self.packed: dict[str, Packed] = {}
        self.program: Program | None = None
        self.told = False

    def choose(self, name: EngineName, precision: Precision, threads: int = 1) -> Engine:
        """The engine called `name`; for "auto" the native one where it was built and can run the model, but on a GPU.

        Raises: UsageError for a precision or threads that it lacks, RunError where the native one cannot be had.
        """
        key = (name, precision, threads)
        if key not in self.made:
            self.made[key] = self.make(name, precision, threads)
        return self.made[key]

    def make(self, name: EngineName, precision: Precision, threads: int) -> Engine:
        """A new engine. A run that carries a step program can write, so its system is not asked."""
        if not (self.run.folder.path / PROGRAM).exists() and torch_installed():
            torch_half().require_writing(self.run)
        if name == "torch":
            if precision != "float32" or threads != 1:
                what = f"precision {precision}" if precision != "float32" else f"threads {threads}"
                raise UsageError(f"{what} is of the native engine, engine torch has none: leave one of them out")
            return torch_half().Torch(self.run)
        if name == "native":
            return self.native(precision, threads)
        if not self.run.model_sha256 or (precision == "float32" and self.on_gpu()):
            return torch_half().Torch(self.run)
        try:
            return self.native(precision, threads)
        except Unfit as why:
            if precision != "float32":
                what = f"precision {precision} is of the native engine, but {why.reason}"
                raise UsageError(f"{what}: {why.cure}leave out --precision") from None
            if not self.told:
                warn(f"{why.reason}: generating through torch, slower")
            self.told = True
            return torch_half().Torch(self.run)

    def native(self, precision: Precision, threads: int) -> Engine:
        """The native engine. Raises: Unfit if it was not built or the model has no lowering."""
        try:
            runtime.native()
        except RunError as problem:
            cure = "install a C++ compiler and then unrolled again, or "
            raise Unfit(str(problem), "the native kernels are not installed", cure) from None
        program = self.step_program()
        if precision not in self.packed:
            self.packed[precision] = Packed(program, precision)
        limit = None if program.position_limit < 0 else program.position_limit
        return Native(self.packed[precision], threads, limit)

    def on_gpu(self) -> bool:
        """Whether torch would run the model on a GPU."""
        if self.run.wanted is None and not any(map(Path.exists, map(Path, DRIVERS))):
            return False
        return torch_installed() and torch_half().device_of(self.run).type == "cuda"

    def step_program(self) -> Program:
        """The step program of the run's weights: the saved one, or a new one, which is saved where that is possible.

        That of a training that goes on is neither.
        Raises: Unfit for a model without a lowering, RunError where there is no program and no torch to make one.
        """
        path, is_published = self.run.folder.path / PROGRAM, bool(self.run.model_sha256)
        if self.program is None and is_published:
            self.program, problem = saved_program(path, self.run)
            if problem:
                warn(f"{path}: {problem}: it is made anew")
        if self.program is None:
            self.program = self.lowered()
            if is_published:
                with suppress(OSError):
                    program_file.save(self.program, path)
        return self.program

    def lowered(self) -> Program:
        """A new step program, made by torch."""
        if not torch_installed():
            raise RunError(
                f"run {self.run.folder.name} has no step program for its weights, and torch, which makes it, is not "
                "installed: generate once where torch is, and copy the run again"
            )
        return torch_half().lowered(self.run.model, self.run.model_sha256)


class Unfit(RunError):
    """The native engine cannot run a model; `reason` says why in a few words, `cure` what may help."""

    def __init__(self, message: str, reason: str, cure: str = "") -> None:
        super().__init__(message)
        self.reason, self.cure = reason, cure


def saved_program(path: Path, run: Any) -> tuple[Program | None, str]:
    """The program in a file if it is that of the run's weights, and what is wrong with it, "" if it is missing."""
    if not path.exists() and not path.is_symlink():
        return None, ""
    if path.is_symlink() or not path.is_file():
        return None, "a link or special file"
    try:
        program = program_file.load(path)
    except RunError as problem:
        return None, str(problem).removeprefix(f"{path}: ").rpartition(": ")[0]
    if program.model_sha256 != run.model_sha256:
        return None, "made from other weights than those of the run"
    heights = tuple(len(program.weights[table]) for table in program.fields)
    found = (program.symbols, program.begin, program.end, heights)
    if found != (run.codec.size, run.codec.begin, run.codec.end, run.fields.sizes):
        return None, "of another alphabet or other fields than those of the run"
    return program, ""


def torch_installed() -> bool:
    """Whether there is a torch to import."""
    try:
        return find_spec("torch") is not None
    except ValueError:  # somebody has put something else in its place
        return False


def torch_half() -> Any:
    """The module of all that needs torch, imported when it is called for and not before."""
    return import_module("unrolled.api.weights")
