"""What the documentation shows works: the example configuration, the page of settings, the manifests of config/."""

import subprocess
import sys
from pathlib import Path

import yaml

from vcproxy.config import document as configuration

ROOT = Path(__file__).parent.parent.parent


def test_the_example_configuration_is_valid() -> None:
    found = configuration.load(ROOT / "config" / "configuration.yaml")
    assert found.listen.public_url == "https://clusters.example.com:8443"


def test_the_deployments_configuration_is_valid() -> None:
    documents = list(yaml.safe_load_all((ROOT / "config" / "deployment.yaml").read_text()))
    assert [one["kind"] for one in documents] == [
        "ConfigMap",
        "Deployment",
        "Service",
        "Service",
        "PodDisruptionBudget",
    ]
    assert configuration.parse(yaml.safe_load(documents[0]["data"]["configuration.yaml"])).operations == (
        "0.0.0.0",
        8080,
    )


def test_the_page_of_settings_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "configuration-page"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
