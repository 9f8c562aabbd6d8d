"""The one generator of random draws: Philox4x32-10 keyed by (seed, stream, position, draw).

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3. Counter words are
(draw, position low, position high, stream) and key words (seed low, seed high), so a draw depends on nothing but the
numbers that name it. The arithmetic is on signed 64-bit integers with 32 bits in use, and serves torch and numpy alike.
"""

from typing import Any, NamedTuple, TypeVar

Words = TypeVar("Words", bound=Any)  # int, numpy int64 array or torch int64 tensor

LOW = 0xFFFFFFFF


def multiply(constant: int, word: Words) -> tuple[Words, Words]:
    """High and low 32 bits of a 32 x 32 bit product, with no intermediate above 2**49."""
    low, high = constant * (word & 0xFFFF), constant * (word >> 16)
    return (high + (low >> 16)) >> 16, (((high & 0xFFFF) << 16) + low) & LOW


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Four random 32-bit words for four counter words and two key words."""
    a, b, c, d = counter
    first, second = key
    for _ in range(10):
        high_a, low_a = multiply(0xD2511F53, a)
        high_c, low_c = multiply(0xCD9E8D57, c)
        a, b, c, d = high_c ^ b ^ first, low_c, high_a ^ d ^ second, low_a
        first, second = (first + 0x9E3779B9) & LOW, (second + 0xBB67AE85) & LOW
    return a, b, c, d


class Draws(NamedTuple):
    """Names the draws of one step: one row per sample, `stream` being the sample's own index and never its batch slot.

    `seed` is below 2**64; `stream` and `position` are int64 arrays or tensors of shape b, below 2**32 and 2**63.
    """

    seed: int
    stream: Any
    position: Any

    def words(self, draw: int = 0) -> tuple[Any, Any, Any, Any]:
        """Four 32-bit words per row for the `draw`-th use of randomness in this step."""
        zero = self.position * 0
        counter = (zero + draw, self.position & LOW, (self.position >> 32) & LOW, zero + self.stream)
        return philox(counter, (self.seed & LOW, (self.seed >> 32) & LOW))

    def uniform(self, draw: int = 0) -> Any:
        """One float64 per row in [0, 1), a multiple of 2**-53."""
        high, low, _, _ = self.words(draw)
        number = (high >> 5) * 67108864 + (low >> 6)
        exact = number.double() if hasattr(number, "double") else number  # torch would make it a float32
        return exact * 2.0**-53


def derived_seed(seed: int, *names: int) -> int:
    """A 63-bit seed for one purpose, such as (step, rank), of a run with `seed`; at most three names below 2**32."""
    first, second, third = (*names, *(0,) * (3 - len(names)))
    high, low, _, _ = philox((first, second, third, len(names)), (seed & LOW, (seed >> 32) & LOW))
    return ((high << 32) | low) >> 1
