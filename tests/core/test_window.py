"""The window of a shared watch: bounded, in order, apart for each tenant."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.window import OVERHEAD, Event, TenantWindow, Window

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


def event(version: int, size: int = 0) -> Event:
    return Event(version, VirtualName("web"), "ADDED", b"x" * size)


def versions(window: TenantWindow, place: int | None = None) -> list[int]:
    return [window[at].version for at in range(window.first if place is None else place, window.end)]


def test_each_tenant_reads_its_own_events_from_its_own_place() -> None:
    window = Window(10)
    for version, tenant in ((11, ACME), (12, GLOBEX), (14, ACME), (15, ACME)):
        window.append(tenant, event(version))
    own = window.of(ACME)
    assert versions(own) == [11, 14, 15]
    assert versions(own, own.after(11)) == versions(own, own.after(13)) == [14, 15]
    assert own.after(15) == own.end
    assert versions(window.of(GLOBEX)) == [12]


def test_the_oldest_events_of_all_tenants_go_first_and_move_the_start() -> None:
    window = Window(10, count=2)
    for version, tenant in ((11, ACME), (12, GLOBEX), (13, ACME)):
        window.append(tenant, event(version))
    assert (window.start, versions(window.of(ACME)), versions(window.of(GLOBEX))) == (11, [13], [12])
    assert not window.covers(10)
    assert window.covers(11)


def test_bytes_are_bounded_too() -> None:
    window = Window(10, size=3 * OVERHEAD + 20)
    for version in (11, 12, 13):
        window.append(ACME, event(version, 10))
    assert (versions(window.of(ACME)), window.bytes) == ([12, 13], 2 * OVERHEAD + 40)


def test_older_events_go_before_and_no_place_changes() -> None:
    window = Window(10)
    window.append(ACME, event(11))
    place = window.of(ACME).after(10)
    assert window.prepend(5, [(ACME, event(6)), (GLOBEX, event(7)), (ACME, event(9))])
    own = window.of(ACME)
    assert (window.start, versions(own), versions(own, place)) == (5, [6, 9, 11], [11])
    assert versions(own, own.after(6)) == [9, 11]


def test_older_events_without_room_change_nothing() -> None:
    window = Window(10, count=2)
    window.append(ACME, event(11))
    assert not window.prepend(5, [(ACME, event(6)), (ACME, event(7))])
    assert (window.start, len(window), versions(window.of(ACME))) == (10, 1, [11])


def test_a_tenant_with_events_is_not_forgotten() -> None:
    window = Window(10)
    window.append(ACME, event(11))
    window.of(GLOBEX)
    window.forget(ACME)
    window.forget(GLOBEX)
    assert list(window.tenants()) == [ACME]


@given(st.lists(st.tuples(st.sampled_from((ACME, GLOBEX)), st.booleans()), max_size=400))
def test_places_behave_like_a_list_that_is_cut_at_its_front(steps: list[tuple[TenantId, bool]]) -> None:
    window, kept = Window(0, count=100), deque[tuple[TenantId, int]]()
    for version, (tenant, _) in enumerate(steps, 1):
        window.append(tenant, event(version))
        kept.append((tenant, version))
        if len(kept) > 100:
            assert kept.popleft()[1] == window.start
    for tenant in (ACME, GLOBEX):
        own = window.of(tenant)
        wanted = [version for of, version in kept if of == tenant]
        assert versions(own) == wanted
        assert all(own[own.after(version - 1)].version == version for version in wanted)
