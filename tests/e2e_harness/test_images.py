"""The archive of images: an OCI layout whose digests hold."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.images import AGNHOST, BUSYBOX, PAUSE, write_image, write_images

Blobs = dict[str, bytes]


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """The files of an archive by name."""
    for name in ("pause", "agnhost"):
        (tmp_path / name).write_text(f"the program {name}")
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\nprintf 'busybox\\nsh\\ntar\\n'\n")
    busybox.chmod(0o755)
    write_images(tmp_path / "images.tar", tmp_path, busybox)
    with tarfile.open(tmp_path / "images.tar") as tar:
        return {one.name: content(tar, one.name) for one in tar}


def content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    return file.read() if file else b""


def manifests(blobs: Blobs) -> dict[str, Any]:
    index = json.loads(blobs["index.json"])
    return {one["annotations"]["io.containerd.image.name"]: json.loads(blob(blobs, one)) for one in index["manifests"]}


def blob(blobs: Blobs, described: dict[str, Any]) -> bytes:
    found = blobs[f"blobs/{described['digest'].replace(':', '/')}"]
    assert len(found) == described["size"]
    return found


def test_each_image_stands_under_the_name_that_kubernetes_tests_use(blobs: Blobs) -> None:
    assert set(manifests(blobs)) == {PAUSE, BUSYBOX, AGNHOST}
    assert json.loads(blobs["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_every_blob_has_the_digest_of_its_name(blobs: Blobs) -> None:
    for name, raw in blobs.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(raw).hexdigest() == name.rsplit("/", 1)[1]


def test_layers_and_their_digests_in_the_configuration_agree(blobs: Blobs) -> None:
    for manifest in manifests(blobs).values():
        config = json.loads(blob(blobs, manifest["config"]))
        assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
        assert all(blob(blobs, layer) for layer in manifest["layers"])


def test_busybox_stands_under_each_of_its_names_and_agnhost_lies_on_top(blobs: Blobs) -> None:
    tools, agnhost = manifests(blobs)[AGNHOST]["layers"]
    assert manifests(blobs)[BUSYBOX]["layers"] == [tools]
    with tarfile.open(fileobj=io.BytesIO(blob(blobs, tools))) as tar:
        assert {one.name: one.linkname for one in tar if one.issym()} == {"bin/sh": "busybox", "bin/tar": "busybox"}
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("tmp").mode == 0o1777
    with tarfile.open(fileobj=io.BytesIO(blob(blobs, agnhost))) as tar:
        assert tar.getnames() == ["agnhost"]


def test_an_image_of_one_program_holds_it_at_its_root_and_runs_it(tmp_path: Path) -> None:
    (tmp_path / "operator").write_text("a program")
    write_image(tmp_path / "one.tar", "registry.example/operator:1", tmp_path / "operator")
    with tarfile.open(tmp_path / "one.tar") as tar:
        found = {one.name: content(tar, one.name) for one in tar}
    (manifest,) = manifests(found).values()
    assert set(manifests(found)) == {"registry.example/operator:1"}
    assert json.loads(blob(found, manifest["config"]))["config"] == {"Entrypoint": ["/operator"]}
    with tarfile.open(fileobj=io.BytesIO(blob(found, manifest["layers"][0]))) as tar:
        assert (tar.getnames(), tar.getmember("operator").mode) == (["operator"], 0o755)
