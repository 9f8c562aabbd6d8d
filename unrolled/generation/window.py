"""Where a window of learned positions begins; importable without torch.

A state with learned positions takes `limit` symbols. What a state after n symbols has read depends on n and the limit
alone, so a long prompt is read exactly as if the model had written it.
"""

TOLD = "the model's {} positions are used up: it reads the last half again and goes on"


def window_start(count: int, limit: int | None) -> int:
    """The first of `count` symbols that a state after them has read; a full window begins anew with its last half."""
    if limit is None or count <= limit:
        return 0
    stride = limit - limit // 2
    return -(-(count - limit) // stride) * stride


def rereads(count: int, limit: int | None) -> int:
    """How often the window of a sample has begun anew, if it has `count` symbols and the last one was never read."""
    return 0 if limit is None else window_start(count - 1, limit) // (limit - limit // 2)


class Windows:
    """Tells before which steps a row reads the last half of its window again; `starts` are the lengths of prompts."""

    def __init__(self, starts: list[int], limit: int | None) -> None:
        self.limit = limit
        self.due: dict[int, list[int]] = {}  # step -> rows whose window is full before it
        for row, start in enumerate(starts if limit else ()):
            self.due.setdefault(window_start(start, limit) + (limit or 0) + 1 - start, []).append(row)

    @property
    def size(self) -> int:
        """Symbols of a window that begins anew, the one that the next step takes among them."""
        return 0 if self.limit is None else self.limit // 2 + 1

    def full(self, step: int) -> list[int]:
        """The rows whose window is full before `step`; each step is asked for once, in order."""
        rows = self.due.pop(step, [])
        if rows and self.limit:
            self.due.setdefault(step + self.limit - self.limit // 2, []).extend(rows)
        return rows

    def until(self, step: int, last: int) -> int:
        """How many steps from `step` to `last` can be made before a window is full."""
        return min(last, *self.due) - step if self.due else last - step
