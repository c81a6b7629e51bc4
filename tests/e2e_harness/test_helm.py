"""Helm as tests run it: directories of its own, times left out of lists. A script stands in for the program."""

from pathlib import Path

import pytest

from e2e.clients.helm import Helm

KINDS = ("CACHE", "CONFIG", "DATA")


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """A stand-in whose `list` is one release."""
    program = tmp_path / "helm"
    program.write_text("""#!/bin/sh\necho '[{"name": "shop", "updated": "now"}]'\n""")
    program.chmod(0o755)
    return Helm(program, tmp_path / "kubeconfig", tmp_path / "own")


def test_it_keeps_nothing_where_the_machines_own_helm_does(helm: Helm, tmp_path: Path) -> None:
    found = {name: value for name, value in helm.environment.items() if name.startswith("HELM_")}
    assert found == {f"HELM_{kind}_HOME": str(tmp_path / "own" / f"helm-{kind.lower()}") for kind in KINDS}
    assert helm.environment["KUBECONFIG"] == str(tmp_path / "kubeconfig")


def test_releases_come_without_the_time(helm: Helm) -> None:
    assert helm.releases("-A") == [{"name": "shop"}]


def test_a_failure_names_the_program(helm: Helm) -> None:
    helm.program.write_text("#!/bin/sh\necho no chart >&2; exit 1\n")
    with pytest.raises(AssertionError, match=r"^helm install shop -> 1\nno chart"):
        helm("install", "shop")
