"""A node's cgroup in every hierarchy, on folders that look like them."""

from pathlib import Path

import pytest

from e2e.cluster.cgroups import NEEDED, Cgroups


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """Version 1 in two hierarchies and version 2 beside them, as on a machine that mounts both."""
    for name in ("cpu", "memory", "unified"):
        (tmp_path / name).mkdir()
    (tmp_path / "unified" / "cgroup.controllers").write_text("pids cpuset misc\n")
    (tmp_path / "unified" / "cgroup.subtree_control").write_text("")
    lines = [
        "proc /proc proc rw 0 0",
        f"cgroup {tmp_path}/cpu cgroup rw,cpu,cpuacct 0 0",
        f"cgroup {tmp_path}/memory cgroup rw,memory 0 0",
        f"cgroup2 {tmp_path}/unified cgroup2 rw 0 0",
    ]
    path = tmp_path / "mounts"
    path.write_text("\n".join(lines))
    return path


def test_it_is_made_everywhere_and_taken_away_with_all_below(mounts: Path, tmp_path: Path) -> None:
    node = Cgroups("node", mounts)
    node.make()
    assert all((tmp_path / root / "node").is_dir() for root in ("cpu", "memory", "unified"))
    (tmp_path / "cpu" / "node" / "kubepods" / "pod").mkdir(parents=True)
    node.remove()
    assert not any((tmp_path / root / "node").exists() for root in ("cpu", "memory", "unified"))
    node.remove()


def test_version_2_hands_needed_controllers_down_and_no_others(mounts: Path, tmp_path: Path) -> None:
    Cgroups("node", mounts).make()
    assert (tmp_path / "unified" / "cgroup.subtree_control").read_text() in ("+pids", "+cpuset")


def test_controllers_are_found_in_both_versions(mounts: Path) -> None:
    assert Cgroups("node", mounts).missing() == set()


def test_a_machine_without_any_lacks_all(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text("proc /proc proc rw 0 0\n")
    assert Cgroups("node", tmp_path / "mounts").missing() == set(NEEDED)


def test_a_cgroup_that_stays_in_use_is_told_in_the_end(
    mounts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2e.cluster.cgroups.GONE", 0.0)
    Cgroups("node", mounts).make()
    (tmp_path / "cpu" / "node" / "in-use").write_text("a file stands in for a process: the folder cannot go")
    with pytest.raises(OSError, match="not empty"):
        Cgroups("node", mounts).remove()
