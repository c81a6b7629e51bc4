"""What a bench found, as values; and as text, JSON, and sections of docs/performance.md."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One thing measured on one way (`direct`, `go`, `nginx`, `vcproxy`): figures by the name of their column."""

    what: str
    way: str
    figures: dict[str, float]


class Verdict(msgspec.Struct, frozen=True):
    """A figure that has a target: at most `limit`, or at least where `least` is set."""

    what: str
    value: float
    limit: float
    unit: str = ""
    least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit

    def __str__(self) -> str:
        bound = "at least" if self.least else "at most"
        verdict = "met" if self.met else "MISSED"
        return f"{verdict}: {self.what}: {shown(self.value)}{self.unit}, target {bound} {shown(self.limit)}{self.unit}"


class Group(msgspec.Struct, frozen=True):
    """What one measurement found; `not_run` says what could not be measured, and why."""

    name: str
    title: str
    rows: Sequence[Row] = ()
    verdicts: Sequence[Verdict] = ()
    not_run: Sequence[str] = ()


def shown(value: float) -> str:
    """As many digits as mean something."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def markdown(group: Group) -> str:
    """A heading, a table with a line for each way, the targets, and what was not run."""
    lines = [f"### {group.title}", ""]
    if group.rows:
        columns = list(dict.fromkeys(name for row in group.rows for name in row.figures))
        lines += [_line(["", "", *columns]), "|" + "---|" * (len(columns) + 2)]
        for row in group.rows:
            cells = [shown(row.figures[name]) if name in row.figures else "" for name in columns]
            lines.append(_line([row.what, row.way, *cells]))
        lines.append("")
    notes = [*(str(one) for one in group.verdicts), *group.not_run]
    return "\n".join([*lines, *(f"- {note}" for note in notes), *([""] if notes else [])])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def plain(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """For machines."""
    found: list[dict[str, Any]] = msgspec.to_builtins(groups)
    for document, group in zip(found, groups, strict=True):
        for target, verdict in zip(document["verdicts"], group.verdicts, strict=True):
            target["met"] = verdict.met
    return found


def updated(page: str, groups: Sequence[Group], made: str) -> str:
    """A page whose sections between `<!-- NAME -->` and `<!-- end NAME -->` are those of the groups; others stay."""
    for name, text in [("made", made + "\n"), *((group.name, markdown(group)) for group in groups)]:
        section = f"<!-- {name} -->\n{text}<!-- end {name} -->\n"
        pattern = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- end {re.escape(name)} -->\n", re.DOTALL)
        page = pattern.sub(lambda _: section, page) if pattern.search(page) else f"{page}\n{section}"  # noqa: B023
    return page
