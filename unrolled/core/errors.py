"""Every error a user can cause; importable without torch.

UnrolledError            exit code 1, printed as one line
├── UsageError           wrong flag, name or value of a setting; exit code 2
├── DataError            a corpus, record or symbol that cannot be used
├── RunError             a run folder, checkpoint or database that cannot be used
└── TrainingError        training cannot go on (not-a-number loss, disk full)
"""


class UnrolledError(Exception):
    """A problem the user can mend: the message names what was given, what was expected and what to do."""

    exit_code = 1


class UsageError(UnrolledError):
    """A setting, name or flag with a value that cannot be used."""

    exit_code = 2


class DataError(UnrolledError):
    """A corpus, record or symbol that cannot be used."""


class RunError(UnrolledError):
    """A run folder, checkpoint or database that cannot be used."""


class TrainingError(UnrolledError):
    """Training cannot go on; the last good checkpoint is named in the message."""
