"""The half of a run that needs torch: its system, its model, generation through `step`, and lowering."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from unrolled.api.engines import PROGRAM, Unfit
from unrolled.api.runs import require
from unrolled.backbones.normed import folded
from unrolled.core.errors import RunError
from unrolled.core.protocol import Context
from unrolled.engine import program_file
from unrolled.engine.program import Program
from unrolled.generation.stream import generate
from unrolled.generation.text import Step
from unrolled.store.configs import from_json
from unrolled.store.folders import MODEL, RunFolder
from unrolled.training.checkpoints import read_tensors


class Torch:
    """The engine of torch: `step` of the model itself, whatever it is made of; `run` is a `Run`."""

    name = "torch"

    def __init__(self, run: Any) -> None:
        self.model: Any = folded(run.model)
        self.limit: int | None = self.model.position_limit

    def steps(self, prompts: Sequence[Sequence[int]], ids: Sequence[int], **settings: Any) -> Iterator[Step]:
        """As `Engine` says."""
        return generate(self.model, prompts, context=context(self.model, ids, len(prompts)), **settings)


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(run: Any) -> torch.device:
    """Where the weights of a run are, or would be."""
    return torch.device(run.wanted) if run.wanted is not None else best_device()


def context(model: Any, ids: Sequence[int], rows: int) -> Context | None:
    """Conditioning of `rows` rows on the same ids of fields; None where there are none."""
    if not ids:
        return None
    device = next(model.parameters()).device
    return model.context(torch.tensor([list(ids)] * rows, device=device))


def load_model(run: Any) -> torch.nn.Module:
    """The model of a `Run`, on its device and in evaluation mode, after its folder was verified.

    Raises: RunError for a folder that is damaged, or holds weights of another model.
    """
    run.model_sha256 = run.folder.verify()[MODEL]
    settings = from_json(run.system.Config, run.config.config, str(run.folder.path / "config.json"))
    model = run.system.build(settings, run.codec, run.fields.sizes)
    load_weights(model, run.folder.model)
    return model.to(device_of(run)).eval()


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


def lowered(model: Any, model_sha256: str) -> Program:
    """The step program of a model. Raises: Unfit for one that has no lowering."""
    from unrolled.engine.lowering import NotLowered, lower

    try:
        return lower(model, model_sha256)
    except NotLowered as problem:
        raise Unfit(str(problem), f"no lowering for {problem.module}") from None
    except RunError as problem:  # a program that the kernels would refuse
        raise Unfit(str(problem), str(problem)) from None


def require_writing(run: Any) -> None:
    """Raises: UsageError if the system of a run generates nothing."""
    require(run.system, "generate")


def keep_program(model: torch.nn.Module, folder: RunFolder) -> str:
    """Save the step program of a run's published weights, which `model` has; what went wrong, "" if nothing did.

    A model that cannot be lowered simply has none, and nothing that happens here stops a training.
    """
    try:
        program_file.save(lowered(model, folder.model_sha256()), folder.path / PROGRAM)
    except Unfit:
        return ""
    except Exception as problem:  # the run is whole without it
        return f"no step program was made ({type(problem).__name__}: {problem}): the first generation tries again"
    return ""
