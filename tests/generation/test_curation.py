"""Curation: rankings, sessions that undo, and exports that training reads."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as some

from unrolled.core.errors import UsageError
from unrolled.data.corpus import open_corpus
from unrolled.generation.curation import Candidate, Decision, Session, best, rank, to_jsonl
from unrolled.generation.novelty import Novelty


def candidate(name, likelihood, seen, span):
    return Candidate(name, f"text {name}", likelihood, Novelty(span, 0, None, seen, 8))


CANDIDATES = (
    candidate("a", -2.0, 0.5, "xx"),
    candidate("b", -1.0, 1.0, "x"),
    candidate("c", -3.0, 0.2, "xxx"),
    candidate("d", -1.0, 0.2, "x"),
)


def names(candidates):
    return "".join(candidate.sample for candidate in candidates)


def test_the_best_by_likelihood_and_by_novelty():
    assert names(best(CANDIDATES, partial(rank, by="likelihood"), 4)) == "bdac"
    assert names(best(CANDIDATES, partial(rank, by="novelty"), 4)) == "dcab"
    assert names(best(CANDIDATES, partial(rank, by="novelty"), 1)) == "d"


def test_rankings_that_cannot_be_made_are_refused():
    for count in (0, 5):
        with pytest.raises(UsageError, match="from 1 to 4"):
            best(CANDIDATES, partial(rank, by="likelihood"), count)
    with pytest.raises(UsageError, match="rank by likelihood"):
        best([Candidate("a", "", 0.0)], partial(rank, by="novelty"), 1)


KEYS = some.lists(some.sampled_from(["keep", "drop", "skip", "rate", "undo"]), max_size=30)


@given(KEYS)
def test_undo_brings_back_every_earlier_session(keys):
    session, earlier = Session(CANDIDATES), []
    for number, key in enumerate(keys):
        if key == "undo":
            before = session
            session, decision = session.undo()
            assert (session, decision) == ((earlier.pop(), before.decisions[-1]) if earlier else (before, None))
        elif session.current is None:
            with pytest.raises(UsageError, match="every sample is decided"):
                session.decide("keep")
        else:
            earlier.append(session)
            session = session.decide(key, number % 5 + 1 if key == "rate" else None)
    assert session.current is (CANDIDATES[session.index] if session.index < 4 else None)


def test_a_session_keeps_and_rates():
    session = Session(CANDIDATES).decide("rate", 2).decide("rate", 4).decide("keep").decide("drop").decide("skip")
    session = session.decide("keep")
    assert names(session.kept()) == "ad" and session.current is None
    assert [session.rate(index) for index in range(4)] == [4, None, None, None]
    session, decision = session.undo()
    assert decision == Decision(3, "keep") and names(session.kept()) == "a" and session.current is CANDIDATES[3]


@pytest.mark.parametrize(("kind", "rate"), [("rate", 0), ("rate", 6), ("rate", None), ("keep", 3)])
def test_rates_are_one_to_five(kind, rate):
    with pytest.raises(UsageError, match="from 1 to 5"):
        Session(CANDIDATES).decide(kind, rate)


def test_an_export_is_a_corpus_again(tmp_path):
    texts = ['two\nlines "quoted" \u2028 é\U0001f600', "plain"]
    kept = [Candidate(str(index), text, 0.0, fields={"mood": "gay"}) for index, text in enumerate(texts)]
    path = tmp_path / "kept.jsonl"
    path.write_text(to_jsonl(kept), encoding="utf-8")
    corpus = open_corpus([path], fields=("mood",))
    assert [(document.text, document.fields) for document in corpus.documents()] == [
        (text, {"mood": "gay"}) for text in texts
    ]
