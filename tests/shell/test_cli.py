"""The command line without a host: what it says, and how it ends."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from vcproxy.cli import main
from vcproxy.cli.credentials import document, merged, write_private
from vcproxy.cli.grants import question
from vcproxy.core.names import TenantId
from vcproxy.core.rbac import Attributes

ACME = TenantId("acme")


def ran(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.output


def test_help_names_every_command() -> None:
    code, said = ran("--help")
    assert code == 0
    for command in ("serve", "install", "uninstall", "tenant", "kubeconfig", "token", "explain", "grant", "who-can"):
        assert command in said


def test_a_version_is_told_to_people_and_machines() -> None:
    assert ran("version")[1].startswith("vcproxy 0.")
    assert json.loads(ran("version", "-o", "json")[1])["version"]


def test_the_version_waits_for_no_heavy_library() -> None:
    code = "import sys, vcproxy.cli.main; sys.exit(any(name in sys.modules for name in ('aiohttp', 'cryptography')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("nope",),
        ("tenant", "create"),
        ("tenant", "create", "No-Id"),
        ("explain", "GET"),
        ("grant", "acme", "tenant-view"),
    ],
)
def test_wrong_use_is_2(words: tuple[str, ...]) -> None:
    code, said = ran(*words)
    assert code == 2
    assert "Usage" in said


def test_a_missing_kubeconfig_is_1_and_says_what_to_do(tmp_path: Path) -> None:
    code, said = ran("tenant", "list", "--kubeconfig", str(tmp_path / "none"))
    assert code == 1
    assert "--kubeconfig or $KUBECONFIG" in said


def test_a_host_that_is_away_is_1_and_named(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document(ACME, "admin", "t", "https://127.0.0.1:1", "")))
    text = path.read_text().replace("certificate-authority-data: ''", "insecure: true")
    path.write_text(text)
    code, said = ran("tenant", "list", "--kubeconfig", str(path))
    assert code == 1
    assert "127.0.0.1:1" in said


def test_config_check_tells_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("apiVersion: x\nkind: Configuration\nlimits: {drain: soon, bodybytes: 1}\n")
    code, said = ran("config", "check", "--config", str(path))
    assert code == 1
    assert "3 problems" in said
    assert "did you mean limits.bodyBytes?" in said


def test_config_show_has_units_and_reasons() -> None:
    found = json.loads(ran("config", "show", "-o", "json")[1])
    assert {"path", "value", "default", "unit", "why", "reloads"} == set(found[0])
    assert "limits.hostTimeout" in ran("config", "show")[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(shell: str) -> None:
    code, said = ran("completion", shell)
    assert (code, "_VCPROXY_COMPLETE" in said) == (0, True)


def test_a_kubeconfig_is_for_its_owner_only_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_merging_replaces_what_has_the_same_name_and_keeps_the_rest() -> None:
    other = document(TenantId("globex"), "admin", "g", "https://g:1", "")
    once = merged(other, document(ACME, "admin", "old", "https://a:1", ""))
    twice = merged(once, document(ACME, "admin", "new", "https://a:1", ""))
    assert [entry["name"] for entry in twice["users"]] == ["vcproxy-globex", "vcproxy-acme"]
    assert twice["users"][1]["user"]["token"] == "new"
    assert twice["current-context"] == "vcproxy-acme"


def test_a_login_of_several_clusters_gets_a_context_in_each_and_no_token() -> None:
    mine = {"users": [{"name": "ann", "user": {"exec": {}}}]}
    once = merged(mine, document(ACME, "admin", None, "https://a:1/t/acme", "", "ann"))
    twice = merged(once, document(TenantId("globex"), "admin", None, "https://a:1/t/globex", "", "ann"))
    assert twice["users"] == mine["users"]
    assert [entry["context"]["user"] for entry in twice["contexts"]] == ["ann", "ann"]
    assert [entry["cluster"]["server"] for entry in twice["clusters"]] == ["https://a:1/t/acme", "https://a:1/t/globex"]


def test_a_login_of_ones_own_goes_without_a_token() -> None:
    code, said = ran("kubeconfig", "acme", "--login", "ann", "--group", "devs")
    assert (code, "makes no token" in said) == (2, True)


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        ("pods", Attributes("get", "", "pods", "log", "web")),
        ("pods/api-1", Attributes("get", "", "pods", "log", "web", "api-1")),
        ("deployments", Attributes("get", "apps", "deployments", "log", "web")),
        ("events", Attributes("get", "", "events", "log", "web")),
        ("widgets.example.com/a", Attributes("get", "example.com", "widgets", "log", "web", "a")),
        ("*", Attributes("get", "*", "*", "log", "web")),
        ("/metrics", Attributes("get", path="/metrics")),
    ],
)
def test_who_can_is_asked_in_kubectls_notation(what: str, asked: Attributes) -> None:
    assert question("get", what, "web", "log") == asked


def test_granting_to_nobody_is_wrong_use() -> None:
    code, said = ran("grant", "acme", "tenant-view")
    assert (code, "say whom" in said) == (2, True)


def test_a_kind_that_nobody_knows_needs_its_group() -> None:
    with pytest.raises(click.UsageError, match=r"widgets\.GROUP"):
        question("get", "widgets", "", "")
