"""Container images without a registry: one archive with pause, busybox and agnhost, made of what is on this machine.

The archive is an OCI image layout (github.com/opencontainers/image-spec, image-layout.md) with one entry for each
image; containerd reads names from the annotation `io.containerd.image.name`. Names are those of Kubernetes' own tests.
"""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PAUSE: Final = "registry.k8s.io/pause:3.10.2"
BUSYBOX: Final = "registry.k8s.io/e2e-test-images/busybox:1.37.0-2"
AGNHOST: Final = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
FOLDERS: Final = ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var")
FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
}
_PATH: Final = "PATH=/usr/local/bin:/usr/bin:/bin:/"
_MEDIA: Final = "application/vnd.oci.image"


def write_images(target: Path, built: Path, busybox: Path) -> None:
    """The archive. `built` holds pause and agnhost, `busybox` is a static one."""
    archive = _Archive()
    tools = _tools(busybox)
    archive.add(PAUSE, [_layer({"pause": built / "pause"})], {"Entrypoint": ["/pause"]})
    archive.add(BUSYBOX, [tools], {"Cmd": ["sh"], "Env": [_PATH]})
    agnhost = _layer({"agnhost": built / "agnhost"})
    archive.add(AGNHOST, [tools, agnhost], {"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "Env": [_PATH]})
    archive.write(target)


def write_image(target: Path, name: str, program: Path) -> None:
    """An archive of one image that holds one static program, at its root, and nothing else."""
    archive = _Archive()
    archive.add(name, [_layer({program.name: program})], {"Entrypoint": [f"/{program.name}"]})
    archive.write(target)


def write_tree(target: Path, name: str, files: Mapping[str, Path], config: Mapping[str, Any]) -> None:
    """An archive of one image that holds files by their path in it."""
    archive = _Archive()
    archive.add(name, [_layer({path.lstrip("/"): source for path, source in files.items()})], config)
    archive.write(target)


class _Archive:
    """Blobs by digest, and the index that names them."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._manifests: list[dict[str, Any]] = []

    def add(self, name: str, layers: Sequence[bytes], config: Mapping[str, Any]) -> None:
        described = [self._blob(layer, "layer.v1.tar") for layer in layers]
        document = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in described]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": self._blob(_json(document), "config.v1+json"),
            "layers": described,
        }
        found = self._blob(_json(manifest), "manifest.v1+json")
        self._manifests.append({**found, "annotations": {"io.containerd.image.name": name}})

    def _blob(self, content: bytes, kind: str) -> dict[str, Any]:
        """Keep it; its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content
        return {"mediaType": f"{_MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def write(self, target: Path) -> None:
        index = {"schemaVersion": 2, "manifests": self._manifests}
        with tarfile.open(target, "w") as tar:
            _put(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _put(tar, "index.json", _json(index))
            for digest, content in self._blobs.items():
                _put(tar, f"blobs/sha256/{digest}", content)


def _layer(programs: Mapping[str, Path]) -> bytes:
    """A tar with programs by their path in the image."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, path in programs.items():
            _put(tar, name, path.read_bytes(), 0o755)
    return memory.getvalue()


def _tools(busybox: Path) -> bytes:
    """A small root: busybox under each name that it knows."""
    memory = io.BytesIO()
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for folder in FOLDERS:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for path, text in FILES.items():
            _put(tar, path, text.encode())
        _put(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        for name in names:
            _link(tar, f"bin/{name}", "busybox")
    return memory.getvalue()


def _put(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    if name == "bin/busybox":
        return
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    tar.addfile(entry)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
