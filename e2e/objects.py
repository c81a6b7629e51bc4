"""Objects of Private kinds, as a tenant writes them."""

from typing import Any, Final

Object = dict[str, Any]


def made(version: str, kind: str, name: str, **rest: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest}


def volume(name: str, **spec: Any) -> Object:
    whole = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, **spec}
    return made("v1", "PersistentVolume", name, spec=whole)


def claim(name: str, **spec: Any) -> Object:
    whole = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return made("v1", "PersistentVolumeClaim", name, spec=whole)


OBJECTS: Final[dict[str, Object]] = {
    "csidrivers": made("storage.k8s.io/v1", "CSIDriver", "csi.example.com", spec={"attachRequired": False}),
    "deviceclasses": made(
        "resource.k8s.io/v1", "DeviceClass", "gpu", spec={"selectors": [{"cel": {"expression": "true"}}]}
    ),
    "ingressclasses": made("networking.k8s.io/v1", "IngressClass", "front", spec={"controller": "example.com/x"}),
    "persistentvolumes": volume("disk"),
    "priorityclasses": made("scheduling.k8s.io/v1", "PriorityClass", "high", value=10),
    "runtimeclasses": made("node.k8s.io/v1", "RuntimeClass", "box", handler="box"),
    "storageclasses": made("storage.k8s.io/v1", "StorageClass", "fast", provisioner="example.com/x"),
    "volumeattachments": made(
        "storage.k8s.io/v1",
        "VolumeAttachment",
        "attached",
        spec={"attacher": "example.com", "nodeName": "node-x", "source": {"persistentVolumeName": "disk"}},
    ),
    "volumeattributesclasses": made(
        "storage.k8s.io/v1", "VolumeAttributesClass", "quick", driverName="example.com", parameters={"iops": "3"}
    ),
}
"""One of each kind, with names that two tenants have both."""
