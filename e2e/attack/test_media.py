"""Case 19: the visible set is one and the same in every media type."""

import gzip
import json
from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, Victim

pytestmark = pytest.mark.own_host

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
ACCEPTS = [
    "application/json",
    "*/*",
    "application/yaml",
    TABLE,
    PARTIAL,
    f"{TABLE},application/json",
    "application/vnd.kubernetes.protobuf,application/json",
    f"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,{TABLE}",
    "application/json;q=0.1,application/yaml;q=0.9",
    "text/html,application/json",
]
LISTS = ["/api/v1/secrets", "/api/v1/namespaces", "/api/v1/pods", "/api/v1/namespaces/default/configmaps"]


def names(body: bytes) -> list[str]:
    """Names of what a list or a Table shows, sorted."""
    import yaml

    document: Any = json.loads(body) if body[:1] == b"{" else yaml.safe_load(body)
    if document["kind"] == "Table":
        return sorted(row["cells"][0] for row in document["rows"])
    return sorted(item["metadata"]["name"] for item in document["items"])


@case(19)
@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("target", LISTS)
def test_a_list_shows_the_same_in_every_media_type(
    attacker: Attacker, victim: Victim, target: str, accept: str
) -> None:
    plain = names(attacker.call("GET", target).body)
    answer = attacker.call("GET", target, headers={"Accept": accept})
    assert answer.code == 200, answer.body
    assert names(answer.body) == plain
    zipped = attacker.call("GET", target, headers={"Accept": accept, "Accept-Encoding": "gzip"})
    raw = gzip.decompress(zipped.body) if zipped.headers.get("Content-Encoding") == "gzip" else zipped.body
    assert names(raw) == plain


@case(19)
@pytest.mark.parametrize("include", ["Object", "Metadata", "None"])
def test_a_table_hides_as_much_whatever_its_rows_hold(attacker: Attacker, victim: Victim, include: str) -> None:
    for target in LISTS:
        plain = names(attacker.call("GET", target).body)
        answer = attacker.call("GET", f"{target}?includeObject={include}", headers={"Accept": TABLE})
        assert names(answer.body) == plain
