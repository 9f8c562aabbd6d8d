"""What the text systems make of a budget: sizes and dropout that follow from it where they are not set."""

from dataclasses import replace
from typing import Any

import pytest

from unrolled.api import job
from unrolled.api.options import TextOptions
from unrolled.core.contracts import Budget
from unrolled.systems import find_system
from unrolled.systems.char_rnn import SYSTEM as CHAR_RNN

SIZES = {"char-rnn": "hidden", "gpt": "width", "window": "hidden", "word-rnn": "hidden"}
GROWING = [1e9, 1e13, 3.6e13, 1e15, 1e20]  # operations, from less than a second to years of two laptop cores
SYMBOLS = 1_000_000


def completed(name: str, operations: float, symbols: int = SYMBOLS, **settings: Any) -> Any:
    """The settings of a system under a budget."""
    system = find_system(name)
    return system.complete(system.Config(**settings), Budget(operations, symbols))


def char_rnn_dropout(excess: float, symbols: int = SYMBOLS, **settings: Any) -> float:
    """The dropout of char-rnn where operations are so many times six for each pair of symbols."""
    return completed("char-rnn", excess * 6 * symbols**2, symbols, **settings).dropout


@pytest.mark.parametrize("name", SIZES)
def test_a_longer_budget_makes_a_wider_model_within_bounds(name: str) -> None:
    widths = [getattr(completed(name, operations), SIZES[name]) for operations in GROWING]
    assert widths == sorted(widths) and len(set(widths)) >= 4
    assert widths[0] >= 64 and widths[-1] == 1024
    assert all(width % 64 == 0 for width in widths)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("operations", [1e9, 1e20])
def test_what_is_set_is_kept(name: str, operations: float) -> None:
    for dropout in (0.0, 0.25):
        settings = {SIZES[name]: 48, "dropout": dropout}
        assert completed(name, operations, **settings) == find_system(name).Config(**settings)
    other = completed(name, operations, **{SIZES[name]: 48})
    assert getattr(other, SIZES[name]) == 48 and other.dropout is not None


@pytest.mark.parametrize("name", SIZES)
def test_what_one_budget_has_settled_no_other_changes(name: str) -> None:
    system, settled = find_system(name), completed(name, 1e13)
    assert system.complete(settled, Budget(1e18, 1000)) == settled


@pytest.mark.parametrize("name", ["char-rnn", "gpt", "word-rnn"])
def test_the_more_often_a_text_is_read_the_more_is_dropped(name: str) -> None:
    shares = [completed(name, 3.6e13, symbols).dropout for symbols in (10**9, 400_000, 1000, 0)]
    assert shares == sorted(shares) and shares[0] < shares[2] < 1


def test_char_rnn_is_narrower_where_symbols_cost_more() -> None:
    def hidden(operations: float, alphabet: int) -> int:
        return CHAR_RNN.complete(CHAR_RNN.Config(), Budget(operations, SYMBOLS, alphabet)).hidden

    assert [hidden(6e13, alphabet) for alphabet in (2, 65, 258, 5000)] == [384, 384, 256, 256]
    assert hidden(3.6e13, 258) == hidden(3.6e13, 65) == 256
    assert hidden(1e20, 258) == 1024


def test_char_rnn_drops_only_where_weights_and_readings_far_outnumber_symbols() -> None:
    assert [char_rnn_dropout(excess) for excess in (0.0, 0.1, 1.0, 5.9, 6.0)] == [0.0] * 5
    assert char_rnn_dropout(7.0) == 0.01
    assert [char_rnn_dropout(26.0, symbols) for symbols in (1000, SYMBOLS)] == [0.2, 0.2]
    assert char_rnn_dropout(56.0) == char_rnn_dropout(1e9) == 0.5
    assert char_rnn_dropout(26.0, hidden=64) == 0.2  # which does not depend on what was chosen for the width


@pytest.mark.parametrize("name", SIZES)
def test_a_recipe_fits_the_model_that_it_is_for(name: str) -> None:
    system, settings = find_system(name), {"context": 24} if name == "gpt" else {}
    for operations in (GROWING[0], GROWING[-1]):
        recipe = system.recipe(completed(name, operations, **settings), Budget(operations, SYMBOLS))
        assert recipe.rows > 1 and recipe.length > 1
        assert name != "gpt" or recipe.length == 24


@pytest.mark.parametrize("name", ["char-rnn", "gpt", "word-rnn"])
def test_a_much_longer_budget_has_more_rows_and_higher_rates(name: str) -> None:
    system = find_system(name)
    settled = completed(name, 3.6e13)
    short, usual, long, longest = (
        system.recipe(settled, Budget(operations, SYMBOLS)) for operations in (1e9, 3.6e13, 1e15, 1e20)
    )
    assert short == usual
    assert (long.rows, longest.rows) == (2 * usual.rows, 4 * usual.rows)
    assert longest.matrix_rate == 2 * usual.matrix_rate and longest.learning_rate == 2 * usual.learning_rate


def test_a_new_training_tells_its_system_what_there_is_to_learn_from(tmp_path, monkeypatch) -> None:
    told: list[Budget] = []

    def complete(config: Any, budget: Budget) -> Any:
        told.append(budget)
        return CHAR_RNN.complete(config, budget)

    def recipe(config: Any, budget: Budget) -> Any:
        told.append(budget)
        return CHAR_RNN.recipe(config, budget)

    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(job, "find_system", lambda name: replace(CHAR_RNN, complete=complete, recipe=recipe))
    path = tmp_path / "a.txt"
    path.write_text("abcdefghi\n" * 10)
    made = job.new_job([path], TextOptions(), {"hidden": 8, "rows": 2, "length": 4}, 7.5e12)
    assert told == [Budget(7.5e12, 90, made.codec.size)] * 2
    assert (made.settings.hidden, made.recipe.rows, made.recipe.length) == (8, 2, 4)
    assert made.settings.dropout == 0.5  # so much work on so little text
