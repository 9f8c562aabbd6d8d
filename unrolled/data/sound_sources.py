"""Which sound files a data set is made of: files, folders and globs become an ordered list of paths."""

from collections.abc import Sequence
from pathlib import Path

from unrolled.core.errors import DataError
from unrolled.data.sources import RECORD_FORMATS, TEXT_SUFFIXES, files_of

# containers, as libsndfile calls them, and the suffixes that say so
SUFFIXES = {
    "WAV": (".wav", ".wave"),
    "WAVEX": (".wav", ".wave"),
    "RF64": (".wav", ".wave", ".rf64"),
    "W64": (".w64",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
}
METADATA = "metadata.csv"
BESIDE = frozenset(("readme", "licence", "license", "copying"))  # texts that go with data of any kind
SOUND_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def find_sound(paths: Sequence[str | Path]) -> tuple[list[Path], dict[str, int]]:
    """The sound files that `paths` name, in a fixed order and each once, and how many others are passed over.

    A file that is named counts as sound; in folders and globs its suffix decides. Others are counted by reason.
    Raises: DataError for a path without sound.
    """
    if not paths:
        raise DataError("no data given: name a file, a folder or a glob")
    found: dict[Path, Path] = {}
    skipped: dict[str, int] = {}
    for path in map(Path, paths):
        files = sound_files(path, skipped)
        if not files:
            passed = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
            raise DataError(
                f"{path}: no sound in it{f' ({passed})' if passed else ''}: "
                f"name a folder with recordings such as .wav, .flac, .ogg or .mp3"
            )
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values()), skipped


def sound_files(path: Path, skipped: dict[str, int]) -> list[Path]:
    """The sound files behind one path; others in its folders are counted in `skipped`."""
    files = []
    for file, is_named in files_of(path):
        if is_named or (has_sound_suffix(file) and file.is_file()):
            files.append(file)
            continue
        reason = "broken links or no regular files" if has_sound_suffix(file) else "not sound by their names"
        skipped[reason] = skipped.get(reason, 0) + 1
    return files


def has_sound_suffix(file: Path) -> bool:
    """Whether the name of a file says that it is sound."""
    return file.suffix.lower() in SOUND_SUFFIXES


def has_text_suffix(file: Path) -> bool:
    """Whether the name of a file says that it is text, and not one that goes with recordings."""
    is_text = file.suffix.lower() in TEXT_SUFFIXES or file.suffix.lower() in RECORD_FORMATS
    return is_text and file.name != METADATA and file.stem.lower() not in BESIDE


def is_sound(paths: Sequence[str | Path]) -> bool:
    """Whether at least half of the files behind `paths` that are sound or text by their names are sound."""
    sound, text = 0, 0
    for path in map(Path, paths):
        try:
            for file, _ in files_of(path):
                sound += has_sound_suffix(file)
                text += has_text_suffix(file)
        except DataError:
            continue
    return sound > 0 and sound >= text
