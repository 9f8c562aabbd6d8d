"""An interpolated Witten-Bell n-gram model: an independent baseline with exact normalisation.

Source: Witten and Bell 1991, method C: P(s|h) = (c(hs) + t(h) P(s|h')) / (c(h) + t(h)), where t(h) is the number of
different symbols seen after h, h' is h without its first symbol, and the order below the first is uniform.
"""

import math

import numpy as np


def cross_entropy(train: np.ndarray, test: np.ndarray, size: int, orders: int) -> list[float]:
    """Nats per symbol of `test` (from its second symbol on) for orders 1..`orders`; contexts lie inside `test`."""
    train, test = train.astype(np.int64), test.astype(np.int64)
    targets = np.arange(1, len(test))
    probability = np.full(len(targets), 1.0 / size)
    results = []
    for order in range(1, orders + 1):
        history = order - 1
        if size**order >= 2**62:
            raise ValueError(f"order {order} over {size} symbols does not fit a 64-bit code")
        grams, gram_counts = np.unique(codes(train, order, size), return_counts=True)
        contexts = grams // size
        heads, first = np.unique(contexts, return_index=True)
        totals = np.add.reduceat(gram_counts, first)
        types = np.diff(np.append(first, len(grams)))
        full = targets >= history  # earlier targets keep the probability of the order below
        code = codes(test, order, size)[targets[full] - history]
        count = look_up(grams, gram_counts, code)
        total, kinds = look_up(heads, totals, code // size), look_up(heads, types, code // size)
        lower = probability[full]
        probability[full] = np.where(total > 0, (count + kinds * lower) / np.maximum(total + kinds, 1), lower)
        results.append(float(-np.log(probability).mean()))
    return results


def codes(symbols: np.ndarray, order: int, size: int) -> np.ndarray:
    """One number for each run of `order` symbols."""
    length = len(symbols) - order + 1
    code = np.zeros(length, np.int64)
    for offset in range(order):
        code = code * size + symbols[offset : offset + length]
    return code


def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 where it is not among the sorted keys."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)


def bits(nats: float) -> float:
    """Bits for nats."""
    return nats / math.log(2)
