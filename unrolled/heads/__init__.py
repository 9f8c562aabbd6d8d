"""Features to a distribution over symbols, or to a point.

`ALL` is what the laws in tests/heads run over: to add a head with a likelihood, write its file and add one line here.
"""

from collections.abc import Callable
from typing import Any

from unrolled.heads.categorical import Categorical
from unrolled.heads.logistics import Logistics

WIDTH, SIZE = 5, 7

# Small examples that read features of WIDTH and know SIZE symbols, over which probabilities can be summed.
ALL: dict[str, Callable[[], Any]] = {
    "categorical": lambda: Categorical(WIDTH, SIZE),
    "logistics": lambda: Logistics(WIDTH, SIZE, mixtures=3),
}
