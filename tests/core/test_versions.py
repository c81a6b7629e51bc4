"""resourceVersions: what is one, and what is none."""

from typing import Any

import pytest

from vcproxy.core.versions import version_of


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("18446744073709551615", 2**64 - 1)])
def test_a_version_is_a_number(text: str, number: int) -> None:
    assert version_of(text) == number


@pytest.mark.parametrize("text", ["", "-1", "1.0", "²", "٣", "a", "1" * 21, "1" * 5000, None, 7, ["7"]])
def test_what_is_no_version_is_none(text: Any) -> None:
    assert version_of(text) == 0
