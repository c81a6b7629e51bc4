"""What is made of the Go informer's lines: why it began anew, and where its log parts from the host's."""

import json
from pathlib import Path
from typing import Any

from e2e.clients import informers
from e2e.clients.informers import GoInformer


def watch(code: int = 200, *, initial: bool = False, **fields: Any) -> dict[str, Any]:
    return {"request": "watch", "initial": initial, "code": code, **fields}


def ended(seconds: float, size: int, *, began: bool = False) -> dict[str, Any]:
    return {"ended": "EOF", "seconds": seconds, "bytes": size, "began": began}


def test_the_first_list_needs_no_reason_and_each_other_has_what_came_before_it() -> None:
    short = ended(0.2, 0)
    lines = [watch(initial=True), {"event": "add"}, watch(), short, {"event": "add"}, {"request": "list", "code": 200}]
    assert informers.begun_anew(lines[:2]) == []
    assert informers.begun_anew(lines) == [short]


def test_logs_part_where_one_lacks_an_event() -> None:
    logs = [("add", "a", 1), ("add", "b", 2)]
    assert informers.first_difference(logs, logs) == ""
    assert informers.first_difference(logs[:1], logs).startswith("they part at 1 of 1 and 2: ")


def test_an_account_has_requests_and_what_client_go_said_but_no_events(tmp_path: Path) -> None:
    log = tmp_path / "log"
    event = json.dumps({"counter": "1", "event": "add"}, separators=(",", ":"))
    said = "W1124 reflector.go: watch ended with error"
    log.write_text(f"{event}\n{json.dumps(watch())}\n{said}\n")
    informer = GoInformer.__new__(GoInformer)
    informer.log = log
    assert informer.account() == f"{json.dumps(watch())}\n{said}"
