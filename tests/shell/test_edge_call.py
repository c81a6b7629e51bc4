"""A call as the steps behind the listener see its head."""

import pytest

from vcproxy.edge.call import ClientCall
from vcproxy.edge.reader import Head


class Wire:
    def hold(self) -> None: ...

    def go_on(self) -> None: ...

    def claim(self, owner: str) -> None: ...


@pytest.mark.parametrize(
    ("names", "found"),
    [((b"host",), False), ((b"host", b"impersonate-user"), True), ((b"x-impersonate-user",), False), ((), False)],
)
def test_a_call_tells_whether_a_header_begins_so(names: tuple[bytes, ...], found: bool) -> None:
    call = ClientCall(Head("GET", b"/", {name: [b"x"] for name in names}), Wire(), "id")
    assert call.begins(b"impersonate-") is found
