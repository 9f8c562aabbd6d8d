"""Everything that one training needs, made from data and settings or from a run folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from unrolled import __version__
from unrolled.api.media import Medium, find_medium
from unrolled.api.options import Options
from unrolled.api.run import Run
from unrolled.api.runs import require
from unrolled.api.weights import best_device
from unrolled.codecs import Codec, codec_from_json
from unrolled.core.contracts import NOMINAL_OPERATIONS, Budget, Sampler, System
from unrolled.core.draws import derived_seed
from unrolled.core.errors import DataError, RunError, UsageError
from unrolled.data.encoded import Encoded
from unrolled.data.fields import FieldTable, make_fields
from unrolled.models.sequence import SequenceModel
from unrolled.store.configs import RunConfig, from_json, to_json
from unrolled.store.folders import RunFolder
from unrolled.systems import find_system
from unrolled.training.recipe import Recipe


@dataclass
class Job:
    """One training: where it is written, what is trained on what, and how."""

    folder: RunFolder | None
    options: Options
    system: System
    settings: Any
    recipe: Recipe
    corpus: Any
    codec: Codec
    fields: FieldTable
    encoded: Encoded
    model: SequenceModel
    sampler: Sampler
    given: tuple[str, ...] = ()  # the data as it was named
    parent: dict[str, str] | None = None  # path and weights of the run that this one went on from

    @cached_property
    def medium(self) -> Medium:
        """What the data is made of."""
        return find_medium(self.system.medium)

    def config(self, command: Sequence[str], training: dict[str, Any]) -> RunConfig:
        """What config.json holds."""
        data = {
            **self.corpus.facts(),
            "records": self.corpus.is_records,
            "paths": [str(source.path.resolve()) for source in self.corpus.sources],
            "given": list(self.given),
            "fields": self.fields.to_json(),
            "unknown": self.encoded.unknown,
        }
        training = {"recipe": to_json(self.recipe), "options": to_json(self.options), "parent": self.parent, **training}
        return RunConfig(
            self.system.name,
            to_json(self.settings),
            data,
            training,
            self.options.seed,
            tuple(command),
            unrolled=__version__,
        )


def split_settings(system: System, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a system's config and those of the recipe.

    Raises: UsageError for a name that is neither.
    """
    own = {item.name for item in fields(system.Config)}
    recipe = {item.name for item in fields(Recipe)}
    for name in settings:
        if name not in own | recipe:
            raise UsageError(f"{system.name} has no setting {name!r}: it has {', '.join(sorted(own | recipe))}")
    return {k: v for k, v in settings.items() if k in own}, {k: v for k, v in settings.items() if k not in own}


def new_job(data: Sequence[str | Path], options: Options, settings: dict[str, Any], operations: float) -> Job:
    """A training from scratch; `operations` is the budget in floating-point operations.

    Raises: DataError or UsageError for data or settings that cannot be used.
    """
    system = find_system(options.system)
    require(system, "train")
    own, recipe_settings = split_settings(system, settings)
    config = system.Config(**own)
    medium = find_medium(system.medium)
    corpus = medium.open(data, options, config)
    codec = medium.codec(system, config, corpus, options)
    table = make_fields(corpus)
    encoded = medium.encode(corpus, codec, table)
    budget = Budget(operations, len(encoded.train.symbols), codec.size)
    config = system.complete(config, budget)
    recipe = replace(system.recipe(config, budget), **recipe_settings)
    return assemble(options, system, config, recipe, corpus, codec, table, encoded)


def continued_job(parent: Run, data: Sequence[str | Path], options: Options, settings: dict[str, Any]) -> Job:
    """A training that starts from the weights of a run, on other data with the same symbols and fields."""
    system = parent.system
    own, recipe_settings = split_settings(system, settings)
    if own:
        raise UsageError(f"--from {parent.folder.name} keeps the sizes of that run: leave out {', '.join(own)}")
    if options.fields and options.fields != parent.fields.names:
        raise UsageError(
            f"run {parent.folder.name} is conditioned on {parent.fields.names or 'no fields'}: leave out --fields"
        )
    medium = find_medium(system.medium)
    corpus = medium.reopen(parent, data, asdict(options), options.split)
    options = replace(options, system=system.name, fields=corpus.fields)
    config = from_json(system.Config, parent.config.config, "config.json")
    encoded = medium.encode(corpus, parent.codec, parent.fields)
    gentle = {"learning_rate": 0.3, "matrix_rate": 0.3}
    recipe = system.recipe(config, Budget(NOMINAL_OPERATIONS, len(encoded.train.symbols)))
    recipe = replace(recipe, **{name: getattr(recipe, name) * share for name, share in gentle.items()})
    job = assemble(
        options, system, config, replace(recipe, **recipe_settings), corpus, parent.codec, parent.fields, encoded
    )
    job.model.load_state_dict(parent.model.state_dict())
    job.parent = {"path": str(parent.folder.path.resolve()), "model_sha256": parent.model_sha256}
    return job


def resumed_job(folder: RunFolder, data: Sequence[str | Path] = ()) -> tuple[Job, RunConfig]:
    """The training that a run folder describes, as it was when it began; `data` is where its data lies now."""
    config = folder.config()
    source = str(folder.path / "config.json")
    system = find_system(config.system)
    medium, settings = find_medium(system.medium), from_json(system.Config, config.config, source)
    try:
        options = from_json(medium.options, config.training["options"], source)
        recipe = from_json(Recipe, config.training["recipe"], source)
        paths, fingerprint = config.data["paths"], config.data["fingerprint"]
        table = FieldTable.from_json(config.data["fields"])
    except (KeyError, TypeError) as problem:
        raise RunError(
            f"{source}: lacks {problem}, so the training cannot go on: restore the file from a copy"
        ) from None
    try:
        corpus = medium.open(data or paths, options, settings)
    except DataError as problem:
        raise DataError(
            f"the data of run {folder.name} cannot be read: {problem}; if it has moved, say where it lies now: "
            f"`unrolled train DATA --resume {folder.name}`"
        ) from None
    if corpus.fingerprint() != fingerprint:
        raise RunError(
            f"the data of run {folder.name} has changed: train anew, or go on with `train DATA --from {folder.name}`"
        )
    codec = codec_from_json(folder.codec())
    encoded = medium.encode(corpus, codec, table)
    job = assemble(options, system, settings, recipe, corpus, codec, table, encoded)
    job.folder, job.parent = folder, config.training.get("parent")
    job.given = resolved(data) or tuple(config.data.get("given") or paths)
    return job, config


def resolved(data: Sequence[str | Path]) -> tuple[str, ...]:
    """Paths that hold from any working directory."""
    return tuple(str(Path(path).resolve()) for path in data)


def assemble(
    options: Options, system: System, settings: Any, recipe: Recipe, corpus: Any, codec: Codec,
    table: FieldTable, encoded: Encoded,
) -> Job:  # fmt: skip
    """Build the model, its weights drawn from the seed, and the sampler."""
    sampler = system.batches(settings, encoded.train, recipe, options.seed)
    torch.manual_seed(derived_seed(options.seed))
    model = system.build(settings, codec, table.sizes)
    model.to(best_device())
    return Job(None, options, system, settings, recipe, corpus, codec, table, encoded, model, sampler)
