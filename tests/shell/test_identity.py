"""Under which names requests go to the host, and what is kept of them."""

from vcproxy.core.names import TenantId
from vcproxy.host import identity
from vcproxy.host.identity import impersonation

ACME = TenantId("acme")


def test_a_request_is_the_tenants_and_says_who_asked() -> None:
    assert impersonation(ACME, "zo\xeb", "ann@x.y") == (
        ("Impersonate-User", "vcproxy:tenant:acme"),
        ("Impersonate-Group", "vcproxy:tenants"),
        ("Impersonate-Extra-vcproxy.io%2Fuser", "ann@x.y"),
        ("Impersonate-Extra-vcproxy.io%2Fuser", "zo%C3%AB"),
    )


def test_only_what_is_short_is_kept() -> None:
    identity._kept.cache_clear()
    for number in range(9):
        assert len(impersonation(ACME, f"{number}{'x' * 1000}", "ann")) == 4
    assert identity._kept.cache_info().currsize == 0
    assert impersonation(ACME, "ann") is impersonation(ACME, "ann")
