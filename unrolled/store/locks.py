"""Locks between processes that the operating system frees when their owner dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt


class LockHeld(Exception):
    """Another process holds the lock; `pid` is what it wrote, 0 where unknown."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file if nobody has it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far beyond the content, so that it stays readable
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore
    except OSError:
        return False
    return True


def wait_lock(descriptor: int) -> None:
    """Take an exclusive lock on an open file, waiting for it; closing the file gives it back."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    else:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # pyright: ignore


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, with this process's id in it, for the length of a block.

    Raises: LockHeld if another process has it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    try:
        if not try_lock(descriptor):
            raise LockHeld(_written_pid(path))
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The id of the process that holds the lock file `path` (0 where unknown), or None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if try_lock(descriptor) else _written_pid(path)
    finally:
        os.close(descriptor)


def _written_pid(path: Path) -> int:
    try:
        return int(path.read_bytes()[:20])
    except (OSError, ValueError):
        return 0
