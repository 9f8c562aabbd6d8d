"""Each sampling rule against the logits processor of the same name in transformers."""

import pytest
import torch

from unrolled.generation.rules import Rules
from unrolled.generation.sampling import probabilities

peers = pytest.importorskip("transformers.generation.logits_process", reason="transformers is not installed")

SYMBOLS = 50


def random_logits(rows: int = 40) -> torch.Tensor:
    return 3 * torch.randn(rows, SYMBOLS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


PEERS = [
    (Rules(temperature=0.3), peers.TemperatureLogitsWarper(0.3)),
    (Rules(temperature=2.5), peers.TemperatureLogitsWarper(2.5)),
    (Rules(top_k=1), peers.TopKLogitsWarper(1)),
    (Rules(top_k=7), peers.TopKLogitsWarper(7)),
    (Rules(top_p=0.05), peers.TopPLogitsWarper(0.05)),
    (Rules(top_p=0.9), peers.TopPLogitsWarper(0.9)),
    (Rules(min_p=0.1), peers.MinPLogitsWarper(0.1)),
    (Rules(typical=0.2), peers.TypicalLogitsWarper(0.2)),
    (Rules(typical=0.9), peers.TypicalLogitsWarper(0.9)),
]


@pytest.mark.parametrize(("rules", "peer"), PEERS, ids=lambda value: type(value).__name__)
def test_each_rule_equals_its_peer(rules: Rules, peer):
    logits = random_logits()
    torch.testing.assert_close(probabilities(logits, rules), peer(None, logits).softmax(1), rtol=1e-12, atol=0)


def test_repetition_penalty_equals_its_peer():
    logits = random_logits()
    symbols = torch.randint(SYMBOLS, (len(logits), 9), generator=torch.Generator().manual_seed(0))
    seen = torch.zeros_like(logits).scatter_(1, symbols, 1.0)
    peer = peers.RepetitionPenaltyLogitsProcessor(1.3)(symbols, logits.clone()).softmax(1)
    torch.testing.assert_close(probabilities(logits, Rules(repetition_penalty=1.3), seen), peer, rtol=1e-12, atol=0)


def test_rules_together_equal_their_peers_in_the_documented_order():
    rules = Rules(temperature=0.7, top_k=20, top_p=0.9, min_p=0.02, typical=0.95, repetition_penalty=1.2)
    logits, symbols = random_logits(), torch.arange(40)[:, None]
    scores = peers.RepetitionPenaltyLogitsProcessor(1.2)(symbols, logits.clone())
    for peer in (
        peers.TemperatureLogitsWarper(0.7),
        peers.TopKLogitsWarper(20),
        peers.TopPLogitsWarper(0.9),
        peers.MinPLogitsWarper(0.02),
        peers.TypicalLogitsWarper(0.95),
    ):
        scores = peer(symbols, scores)
    seen = torch.zeros_like(logits).scatter_(1, symbols, 1.0)
    torch.testing.assert_close(probabilities(logits, rules, seen), scores.softmax(1), rtol=1e-12, atol=0)
