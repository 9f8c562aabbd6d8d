"""Sound: tracks at one rate, and bits per sample."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unrolled.api.expectations import sound_to_beat
from unrolled.api.media import Medium, Remark
from unrolled.api.options import SoundOptions
from unrolled.api.run import Run
from unrolled.api.sound_ranges import ranges_of_part, verdict_on
from unrolled.api.sound_run import SoundRun
from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import DataError
from unrolled.data.encoded import Encoded, Part
from unrolled.data.encoded_sound import encode_recordings
from unrolled.data.recordings import Recordings, open_recordings
from unrolled.data.sound_split import SoundSplit
from unrolled.data.sound_tracks import SoundPolicy

LEAST = 0.5  # seconds of a specimen that can be held against whole seconds of training sound


def open_sound(paths: Sequence[str | Path], options: SoundOptions, config: Any) -> Recordings:
    """The recordings of a new training."""
    policy = SoundPolicy(config.rate, options.level, options.remove_dc, options.trim)
    split = SoundSplit(options.split, options.validation, options.within)
    return open_recordings(paths, policy, split, options.fields)


def reopen_sound(run: Run, paths: Sequence[str | Path], options: dict[str, Any], train: float) -> Recordings:
    """The recordings at `paths` as `run` hears them; fields that they lack are unspecified."""
    assert isinstance(run.codec, SoundCodec)
    policy = SoundPolicy(run.codec.rate, options["level"], options["remove_dc"], options["trim"])
    validation = tuple(options["validation"]) if train < 1 else ()
    recordings = open_recordings(paths, policy, SoundSplit(train, validation, options["within"]))
    names = tuple(name for name in run.fields.names if name in recordings.columns)
    data = run.config.data
    return replace(recordings, fields=names, gain=data["gain"], offset=data["offset"])


def sound_codec(system: Any, config: Any, recordings: Recordings, options: SoundOptions) -> SoundCodec:
    """The levels that the settings ask for."""
    return system.codec(config)


def bits_per_sample(encoded: Encoded, recordings: Recordings) -> float:
    """What nats per symbol are multiplied by to give bits per sample."""
    return 1 / math.log(2)


def words(data: dict[str, Any]) -> str:
    """What the data is, from its facts."""
    return f"{data['tracks']} tracks, {data['seconds'] / 60:.1f} minutes at {data['rate']:,} samples a second"


def flags(options: dict[str, Any]) -> list[str]:
    """The options of sound that are unlike the usual ones, as they are typed."""
    found = [f"--validation={name}" for name in options["validation"]]
    found += [f"--{name.replace('_', '-')}" for name in ("within", "remove_dc") if options[name]]
    found += [f"--level={options['level']}"] if options["level"] != "none" else []
    return found + ([f"--trim={options['trim']:g}"] if options["trim"] is not None else [])


def judge(run: SoundRun, part: Part, path: str) -> Remark:
    """Whether a sound that a model made while it trained has collapsed."""
    try:
        verdict = verdict_on(Path(path), run.codec, ranges_of_part(run.folder, run.codec, part))
    except DataError as problem:
        return Remark(f"not judged, {problem}", "")
    if verdict.seconds < LEAST:
        return Remark(f"not judged, {verdict.seconds:.2f} s were made in the time there was", "")
    return Remark(verdict.words(), ", ".join(verdict.verdicts))


MEDIUM = Medium(
    name="sound",
    unit="sample",
    options=SoundOptions,
    run=SoundRun,
    open=open_sound,
    reopen=reopen_sound,
    codec=sound_codec,
    encode=encode_recordings,
    bits=bits_per_sample,
    words=words,
    flags=flags,
    judge=judge,
    specimen_seconds=3.0,
    to_beat=sound_to_beat,
)
