"""The exec plugin: a kept token until shortly before its end, then the next one; a file for its owner only."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcproxy.access.records import rfc3339
from vcproxy.cli import renewing
from vcproxy.cli.output import Failure
from vcproxy.cli.renewing import MARGIN

NOW = 1_700_000_000.0


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refresh tokens that were exchanged; each token lives for 900 seconds."""
    seen: list[str] = []

    def exchange(server: str, ca: str, refresh: str) -> dict[str, Any]:
        seen.append(refresh)
        end = rfc3339(NOW + 900 * len(seen))
        return {"kind": "ExecCredential", "status": {"token": f"t{len(seen)}", "expirationTimestamp": end}}

    monkeypatch.setattr(renewing, "_exchange", exchange)
    return seen


def test_a_token_is_used_until_shortly_before_its_end(given: list[str], tmp_path: Path) -> None:
    file = tmp_path / "credential"
    renewing.write(file, "https://x:1", "ca", "refresh")
    moments = (NOW, NOW + 900 - MARGIN - 1, NOW + 900 - MARGIN, NOW + 901)
    assert [renewing.current(file, now)["status"]["token"] for now in moments] == ["t1", "t1", "t2", "t2"]
    assert given == ["refresh", "refresh"]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"server": "http://x", "ca": "", "refresh": "r"}'])
def test_a_file_that_is_none_and_an_address_without_tls_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "credential"
    file.write_text(text)
    with pytest.raises(Failure, match="no credential can be had"):
        renewing.current(file, NOW)
    with pytest.raises(Failure):
        renewing.current(tmp_path / "none", NOW)


def test_a_kubeconfig_runs_the_plugin_with_its_file(tmp_path: Path) -> None:
    stanza = renewing.stanza(tmp_path / "credential")["exec"]
    assert stanza["args"][-3:] == ["credential", "--file", str(tmp_path / "credential")]
    assert json.dumps(stanza).count("client.authentication.k8s.io/v1") == 1
