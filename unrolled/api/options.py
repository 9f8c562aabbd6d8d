"""What a training is told besides the settings of its system and recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Options:
    """What every training is told."""

    system: str = "char-rnn"
    """what to train: `unrolled systems` lists them"""
    name: str | None = None
    """name of the run (default: from the data and the system)"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    minutes: float | None = None
    """time budget, everything included (default: 3 where neither steps nor epochs are given)"""
    epochs: float | None = None
    """budget in readings of the training part"""
    fields: tuple[str, ...] = ()
    """field of the records to condition on, to be chosen when generating; may be repeated"""
    split: float = 0.9
    """share of the corpus that trains; the rest validates"""
    seed: int = 0
    """number that every random choice follows from"""
    revise: tuple[str, ...] = ()
    """STEP:STEPS, after update STEP train for STEPS in all: repeats a run whose plan changed; may be repeated"""
    threads: int | None = None
    """threads of the processor (default: what is fastest when training begins)"""
    checkpoint_seconds: float = 30.0
    """seconds between checkpoints"""


@dataclass(frozen=True)
class TextOptions(Options):
    """What a training on text is told."""

    text_field: str = "text"
    """field of the records that holds the text"""
    vocabulary_from: Literal["train", "all"] = "train"
    """text that the alphabet is made from: train, or all (also the validation part, as nanoGPT does)"""


@dataclass(frozen=True)
class SoundOptions(Options):
    """What a training on sound is told."""

    validation: tuple[str, ...] = ()
    """track that validates, by its name or a pattern of names (default: by --split); may be repeated"""
    within: bool = False
    """the first part of every track trains and its end validates, instead of whole tracks"""
    level: Literal["none", "peak", "rms"] = "none"
    """one gain for all tracks: none, or so that the peak or the mean loudness has a fixed level"""
    remove_dc: bool = False
    """take the mean of all samples away"""
    trim: float | None = None
    """cut what is below so many decibels at both ends of each track, such as -50 (default: cut nothing)"""
