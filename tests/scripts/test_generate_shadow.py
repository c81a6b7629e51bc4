"""The Shadow kinds that are installed are those that the script makes of the host's own schemas."""

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "fixtures" / "openapi" / "v3-rbac.json"
MANIFEST = ROOT / "vcproxy" / "manifests" / "15-shadow.yaml"


def script() -> ModuleType:
    loader = SourceFileLoader("generate_shadow", str(ROOT / "scripts" / "generate-shadow"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_manifest_is_what_the_script_makes_of_the_recorded_openapi() -> None:
    documents = {("rbac.authorization.k8s.io", "v1"): json.loads(RECORDED.read_text())}
    assert script().text(documents) == MANIFEST.read_text()
