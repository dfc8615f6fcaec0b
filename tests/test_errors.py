"""The text that helps a person whose input was wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsr_sim.errors import InputError, nearest

AGENTS = ["random", "popularity", "similarity", "policy-gradient"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("populrity", "popularity"),
        ("Random", "random"),
        ("policy_gradient", "policy-gradient"),
        ("similar", "similarity"),
    ],
)
def test_a_slip_names_what_was_meant(typed: str, meant: str) -> None:
    assert nearest(typed, AGENTS) == f"; did you mean {meant!r}?"


def test_the_spelling_of_the_known_name_is_kept() -> None:
    assert nearest("recommendation-v0", ["Recommendation-v0"]) == "; did you mean 'Recommendation-v0'?"


@pytest.mark.parametrize(("typed", "known"), [("xyzzy", AGENTS), ("", AGENTS), ("random", [])])
def test_nothing_alike_says_nothing(typed: str, known: list[str]) -> None:
    assert nearest(typed, known) == ""


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_known_name_is_nearest_to_itself_up_to_case(known: list[str]) -> None:
    text = nearest(known[0], iter(known))
    assert text in {f"; did you mean {name!r}?" for name in known if name.casefold() == known[0].casefold()}


def test_input_error_is_a_value_error_with_a_plain_text() -> None:
    with pytest.raises(ValueError, match=r"^items\.csv: no column item_id$"):
        raise InputError("items.csv: no column item_id")
