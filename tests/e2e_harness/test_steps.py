"""The steps of make targets: all run, and the table at the end says how each ended."""

import sys

import pytest

from e2e import steps
from e2e.steps import Result, Step, last_words, summary

UNIT = Step("unit tests", ("pytest",))


def test_make_test_is_check_and_e2e() -> None:
    assert steps.TARGETS["test"] == (*steps.TARGETS["check"], *steps.TARGETS["e2e"])


def test_the_counts_of_pytest_are_repeated() -> None:
    said = "....\n\x1b[32m\x1b[1m57 passed\x1b[0m, \x1b[33m1 skipped\x1b[0m\x1b[32m in 4.31s\x1b[0m\n"
    assert last_words(said) == "57 passed, 1 skipped"
    assert last_words("All checks passed!") == ""
    assert last_words("") == ""


def test_the_summary_has_a_line_for_each_step_and_a_verdict() -> None:
    results = [Result(Step("lint", ("ruff",)), 0, 0.25, ""), Result(UNIT, 0, 61.0, "57 passed")]
    assert summary("check", results) == (
        "ok      lint           0.2 s\nok      unit tests    61.0 s  57 passed\nmake check: all passed in 61 s"
    )


def test_the_summary_names_what_failed() -> None:
    results = [Result(Step("lint", ("ruff",)), 1, 0.2, ""), Result(UNIT, 0, 1.0, "")]
    assert summary("check", results).splitlines()[-1] == "make check: FAILED: lint in 1 s"


def test_a_failed_step_does_not_hide_the_next(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    first = Step("first", ("python", "-c", "print('one'); raise SystemExit(1)"))
    second = Step("second", ("python", "-c", "print('2 passed in 1s')"))
    monkeypatch.setitem(steps.TARGETS, "unit", (first, second))
    assert steps.main(["unit"]) == 1
    said = capfd.readouterr().out
    assert "\none\n" in said
    assert said.rstrip().endswith("make unit: FAILED: first in 0 s")
    assert "2 passed" in said.splitlines()[-2]


def test_an_unknown_target_is_used_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert steps.main(["everything"]) == 2
    assert "check" in capsys.readouterr().err


def test_programs_come_from_the_environment_that_runs_the_steps() -> None:
    assert sys.executable.startswith(str(steps.BIN))


def test_what_was_not_run_is_repeated_with_the_reason() -> None:
    heading = "\x1b[1m== 12 not run: real nodes: cgroups: no controller pids ==\x1b[0m"
    said = f"..\n{heading}\na::b\n5 passed, 12 deselected in 1s\n"
    assert last_words(said) == "5 passed, 12 deselected, 12 not run: real nodes: cgroups: no controller pids"
    assert last_words("real nodes cannot run here: root: needed\n") == "real nodes cannot run here: root: needed"
