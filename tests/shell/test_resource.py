"""The Tenant resource: read leniently, written exactly."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core.nodes import selection
from vcproxy.core.view import Birth, Phase
from vcproxy.tenants.resource import Condition, parse, status_of, timestamp

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
READY = Condition("Ready", "True", "Provided", "")


def test_a_whole_tenant_is_read() -> None:
    found = parse(
        {
            "metadata": {"name": "acme", "uid": "u", "resourceVersion": "7", "generation": 3, "finalizers": ["a"]},
            "spec": {
                "profile": "soft",
                "suspended": True,
                "nodes": {"matchLabels": {"pool": "gpu"}},
                "allowedClasses": {"storage": ["fast"], "volumeAttributes": ["gold"], "priority": ["high"]},
            },
            "status": {"phase": "Active", "namespaces": 4, "observedGeneration": 2, "conditions": [{"type": "Ready"}]},
        }
    )
    assert found is not None
    assert (found.id, found.uid, found.generation, found.finalizers) == ("acme", "u", 3, ("a",))
    assert (found.profile, found.suspended, found.phase) == ("soft", True, Phase.SUSPENDED)
    assert found.classes.storage == {"fast"}
    assert found.nodes == selection({"matchLabels": {"pool": "gpu"}}, 7)
    assert found.classes.volume_attributes == {"gold"}
    assert (found.status.phase, found.status.namespaces, found.status.observed_generation) == ("Active", 4, 2)
    assert found.path == "/apis/vcproxy.io/v1alpha1/tenants/acme"


@pytest.mark.parametrize("name", ["A", "a-b", "a", "", None, "kube-system"])
def test_what_is_no_tenant_id_is_no_tenant(name: Any) -> None:
    assert parse({"metadata": {"name": name}}) is None


@given(JSON, JSON, JSON)
def test_no_odd_spec_or_status_raises_and_odd_profiles_are_hard(spec: Any, status: Any, metadata: Any) -> None:
    more = metadata if isinstance(metadata, dict) else {}
    found = parse({"metadata": {**more, "name": "acme"}, "spec": spec, "status": status})
    assert found is not None
    assert found.profile in ("soft", "hard")


@given(JSON, JSON)
def test_no_odd_field_raises(profile: Any, lists: Any) -> None:
    spec = {"profile": profile, "allowedClasses": {"storage": lists, "priority": [lists]}, "nodes": lists}
    status = {"conditions": [lists, {"type": profile}], "namespaces": profile}
    assert parse({"metadata": {"name": "acme"}, "spec": spec, "status": status}) is not None


def test_a_condition_keeps_its_time_while_its_state_stays() -> None:
    first = parse({"metadata": {"name": "acme", "generation": 1}})
    assert first is not None
    written = status_of(first, Phase.ACTIVE, READY, 4, 1000.0)
    again = parse({"metadata": {"name": "acme", "generation": 2}, "status": written.document()})
    assert again is not None
    assert again.status == written
    later = status_of(again, Phase.ACTIVE, READY, 4, 2000.0)
    assert later.conditions[0].since == timestamp(1000.0)
    assert later.conditions[0].generation == later.observed_generation == 2
    changed = status_of(again, Phase.PENDING, Condition("Ready", "False", "NameTaken", "x"), 4, 3000.0)
    assert changed.conditions[0].since == timestamp(3000.0)
    assert changed.conditions[1].since == timestamp(1000.0)


def test_the_birth_of_a_tenant_stays_whatever_else_is_told() -> None:
    born = {"birth": {"resourceVersion": "120", "eventsResourceVersion": "7"}}
    found = parse({"metadata": {"name": "acme"}, "status": born})
    assert found is not None
    assert found.status.birth == Birth(120, 7)
    assert status_of(found, Phase.ACTIVE, READY, 4, 1000.0).document()["birth"] == born["birth"]
    odd = parse(
        {"metadata": {"name": "acme"}, "status": {"birth": {"resourceVersion": 7, "eventsResourceVersion": "x"}}}
    )
    assert odd is not None
    assert odd.status.birth == Birth()
    assert "birth" not in status_of(odd, Phase.ACTIVE, READY, 4, 1000.0).document()


def test_long_messages_are_cut_to_what_a_condition_may_hold() -> None:
    assert len(Condition("Ready", "False", "X", "m" * 5000).document()["message"]) == 1024
