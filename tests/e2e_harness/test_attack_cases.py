"""The table of docs/security.md is what the attack suite holds."""

import ast

from e2e.attack import cases


def test_the_page_has_the_table_as_it_is_now() -> None:
    assert cases.page() == cases.PAGE.read_text(), "run `python -m e2e.attack.cases`"


def test_each_test_that_is_named_is_there() -> None:
    for names in cases.tests().values():
        for name in names:
            file, _, test = name.partition("::")
            tree = ast.parse((cases.ROOT / file).read_text())
            functions = {
                node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert test in functions, name


def test_each_test_of_the_suite_says_its_cases_and_each_case_is_known() -> None:
    marked = {test for _, test in cases.marked()}
    for file in (cases.ROOT / "e2e" / "attack").glob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert f"e2e/attack/{file.name}::{node.name}" in marked
    assert set(cases.tests()) == set(cases.CASES)
