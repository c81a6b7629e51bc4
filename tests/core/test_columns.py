"""Cells that most Tables have."""

import pytest

from vcproxy.core.columns import AGE, NAME, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (12000, "3h20m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (200000, "2d7h"),
        (691200, "8d"),
        (63072000, "2y"),
        (70000000, "2y80d"),
        (252288000, "8y"),
    ],
)
def test_ages_are_as_kubectl_shows_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_object_without_times_has_no_age_and_without_metadata_no_name() -> None:
    assert AGE.cell({}, 5.0) == "<unknown>"
    assert NAME.cell({"metadata": None}, 5.0) == ""
