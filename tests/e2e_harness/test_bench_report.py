"""Figures become a table, a verdict, a section of the page; what was not measured is named."""

import pytest

from e2e.bench.report import Group, Row, Verdict, markdown, plain, shown, updated

GET = Group(
    "get",
    "get a ConfigMap",
    [Row("get", "go", {"us": 54.321, "p50 ms": 1.0}), Row("get", "vcproxy", {"us": 41.0})],
    [Verdict("CPU over Go's", 0.755, 0.8)],
    ["nginx: not run: nginx is not installed"],
)


def test_a_group_is_a_table_with_its_targets_and_what_is_missing() -> None:
    assert markdown(GET) == (
        "### get a ConfigMap\n\n"
        "|  |  | us | p50 ms |\n|---|---|---|---|\n| get | go | 54.3 | 1.00 |\n| get | vcproxy | 41.0 |  |\n\n"
        "- met: CPU over Go's: 0.76, target at most 0.80\n"
        "- nginx: not run: nginx is not installed\n"
    )


@pytest.mark.parametrize(("value", "least", "met"), [(0.8, False, True), (0.81, False, False), (0.9, True, True)])
def test_a_target_is_met_up_to_its_limit(value: float, least: bool, met: bool) -> None:
    verdict = Verdict("figure", value, 0.8, least=least)
    assert verdict.met is met
    assert str(verdict).startswith("met" if met else "MISSED")


@pytest.mark.parametrize(("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1234"), (-0.5, "-0.50")])
def test_a_figure_has_as_many_digits_as_mean_something(value: float, text: str) -> None:
    assert shown(value) == text


def test_json_says_whether_a_target_is_met() -> None:
    (document,) = plain([GET])
    assert document["verdicts"][0]["met"] is True
    assert document["rows"][1] == {"what": "get", "way": "vcproxy", "figures": {"us": 41.0}}


def test_a_section_is_replaced_and_the_words_around_it_stay() -> None:
    page = "# Performance\n\n<!-- get -->\nold\n<!-- end get -->\n\nWhy it is so.\n"
    again = updated(updated(page, [GET], "made so"), [GET], "made anew")
    assert "old" not in again
    assert "made so" not in again
    assert again.startswith("# Performance\n\n<!-- get -->\n### get a ConfigMap\n")
    assert "<!-- end get -->\n\nWhy it is so.\n" in again
    assert again.endswith("<!-- made -->\nmade anew\n<!-- end made -->\n")
    assert again.count("### get a ConfigMap") == 1
