"""The audit log as witness: lines that are only partly there when a mark is taken or the log is read."""

from pathlib import Path

from e2e.witness import whole_lines


def test_every_line_since_the_beginning_is_told(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b'{"a":1}\n{"b":2}\n')
    assert whole_lines(log, 0) == [b'{"a":1}', b'{"b":2}']


def test_a_mark_between_lines_parts_what_came_before_from_what_came_after(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b'{"a":1}\n{"b":2}\n')
    assert whole_lines(log, len(b'{"a":1}\n')) == [b'{"b":2}']


def test_a_line_that_was_being_written_when_the_mark_was_taken_came_before_it(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b'{"a":1}\n{"b":{"c":2}}\n{"d":3}\n')
    for cut in range(len(b'{"a":1}\n') + 1, len(b'{"a":1}\n{"b":{"c":2}}\n') + 1):
        assert whole_lines(log, cut) == [b'{"d":3}'], cut


def test_a_line_that_is_still_being_written_is_not_told_yet(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b'{"a":1}\n{"b":{"c":2}')
    assert whole_lines(log, 0) == [b'{"a":1}']


def test_nothing_came_since_the_end(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b'{"a":1}\n')
    assert whole_lines(log, 8) == []
