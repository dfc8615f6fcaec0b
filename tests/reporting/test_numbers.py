import pytest

from zsr_sim.reporting.numbers import against, decimals, with_interval


def test_a_figure_with_its_interval() -> None:
    assert with_interval({"mean": 9.3571, "ci95": [9.2602, 9.4599]}) == "9.36 [9.26, 9.46]"
    assert with_interval({"mean": -0.5, "ci95": [-1.0, 0.0]}, 1) == "-0.5 [-1.0, 0.0]"


def compared(relative: float | None, bounds: list[float] | None) -> dict[str, object]:
    return {"difference": 1.461, "ci95": [1.41, 1.52], "relative": relative, "relative_ci95": bounds}


@pytest.mark.parametrize(
    ("comparison", "text"),
    [
        (compared(0.185, [0.179, 0.191]), "+18.5 % [17.9, 19.1]"),
        (compared(-0.478, [-0.489, -0.467]), "-47.8 % [-48.9, -46.7]"),
        (compared(0.0, [0.0, 0.0]), "0.0 % [0.0, 0.0]"),
        (compared(0.0004, [0.0002, 0.0006]), "+0.04 % [0.02, 0.06]"),  # a significant effect is not rounded to none
        (compared(None, None), "+1.46 [1.41, 1.52] per visit"),
        (compared(0.5, None), "+1.46 [1.41, 1.52] per visit"),
    ],
)
def test_a_difference_is_relative_where_it_can_be(comparison: dict[str, object], text: str) -> None:
    assert against(comparison) == text


def test_decimals_keep_bounds_and_width_from_vanishing() -> None:
    assert decimals(17.9, 19.1, 1) == 1
    assert decimals(0.0, 0.0, 1) == 1
    assert decimals(0.0, 0.004, 1) == 3
    assert decimals(18.50, 18.52, 1) == 2
    assert decimals(1e-12, 2e-12, 1) == 6
