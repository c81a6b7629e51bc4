"""What the components are told, and what fake nodes look like. That it all runs, the end-to-end tests show."""

from pathlib import Path

import pytest
import yaml

from e2e.cluster import network
from e2e.cluster.certificates import Pki
from e2e.cluster.control_plane import ControlPlane, api_server_flags, kwok_flags, manager_flags
from e2e.cluster.nodes import ANNOTATION, NODES, PARALLELISM, node, write_kwok_config
from e2e.cluster.processes import ProcessError


def test_nothing_listens_but_on_loopback() -> None:
    pki = Pki(Path("/pki"))
    flags = [*api_server_flags(pki, 1, 2, Path("/run/policy")), *manager_flags(pki, 3)]
    assert [flag for flag in flags if flag.startswith("--bind-address")] == ["--bind-address=127.0.0.1"] * 2
    assert "--server-address=127.0.0.1:4" in kwok_flags(pki, 4, Path("/run/kwok.yaml"))


def test_the_api_server_knows_nobody_without_a_name_and_asks_rbac() -> None:
    flags = api_server_flags(Pki(Path("/pki")), 1, 2, Path("/run/policy.yaml"))
    assert {"--anonymous-auth=false", "--authorization-mode=Node,RBAC"} <= set(flags)
    assert "--audit-log-path=/run/audit.log" in flags


def test_two_control_planes_have_different_ports(tmp_path: Path) -> None:
    first = ControlPlane(tmp_path / "a")
    assert first.url.startswith("https://127.0.0.1:")
    assert first.audit_log == tmp_path / "a" / "audit.log"
    assert first.pids() == {}


def test_the_advertised_address_is_not_loopback() -> None:
    assert not network.advertised_address().startswith("127.")


def test_kwok_gets_its_options_stages_and_for_all_containers_a_log_and_a_place_to_run_in(tmp_path: Path) -> None:
    (tmp_path / "stages" / "pod").mkdir(parents=True)
    (tmp_path / "stages" / "pod" / "ready.yaml").write_text("kind: Stage\n")
    write_kwok_config(tmp_path / "kwok.yaml", tmp_path / "stages", tmp_path / "container.log")
    options, logs, execs, stage = yaml.safe_load_all((tmp_path / "kwok.yaml").read_text())
    assert set(PARALLELISM) <= set(options["options"])
    assert Path(logs["spec"]["logs"][0]["logsFile"]).read_text().count("\n") == 2
    assert execs["spec"]["execs"] == [{"local": {"workDir": str(tmp_path)}}]
    assert stage == {"kind": "Stage"}


def test_kwok_manages_every_node() -> None:
    selector = f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake"
    assert selector in kwok_flags(Pki(Path("/pki")), 4, Path("/run/kwok.yaml"))
    assert [node(name)["metadata"]["annotations"] for name in NODES] == [{ANNOTATION: "fake"}] * 3


def test_with_real_nodes_the_api_server_stands_on_their_bridge_alone() -> None:
    flags = api_server_flags(Pki(Path("/pki")), 1, 2, Path("/run/policy"), "10.200.0.1")
    assert "--bind-address=10.200.0.1" in flags
    assert "--advertise-address=10.200.0.1" in flags
    assert "--enable-aggregator-routing=true" in flags


def test_a_machine_that_cannot_run_real_nodes_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2e.cluster.control_plane.binaries", lambda: tmp_path)
    monkeypatch.setattr("e2e.cluster.control_plane.failure", lambda: "cgroups: no controller pids")
    with pytest.raises(ProcessError, match="cannot run real nodes: cgroups: no controller pids"):
        ControlPlane(tmp_path / "a", real_nodes=1).start()
