"""Which texts are looked for, and where no search can spare looking."""

from vcproxy.core.wakes import plan_of


def test_a_status_is_searched_for_the_tenants_id_alone() -> None:
    status = plan_of("", "Pod").fields["status"]
    assert (status.searched, status.by_id, status.texts) == (True, True, ())


def test_a_lens_that_promises_nothing_is_found_by_the_longest_key_on_its_way() -> None:
    assert plan_of("", "ConfigMap").fields["data"].texts == (b"ca.crt",)
    assert b"volumeClaimTemplate" in plan_of("", "Pod").fields["spec"].texts


def test_where_many_texts_wake_a_branch_it_is_split_up_at_once() -> None:
    assert not plan_of("", "Pod").fields["spec"].searched


def test_items_that_are_always_rewritten_are_never_searched_for() -> None:
    term = plan_of("", "Pod").fields["spec"].fields["affinity"].fields["podAffinity"]
    namespaces = term.fields["requiredDuringSchedulingIgnoredDuringExecution"].items
    assert namespaces is not None
    assert not namespaces.fields["namespaces"].searched
