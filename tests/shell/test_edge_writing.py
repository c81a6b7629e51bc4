"""Answers as bytes: which heads are kept."""

from vcproxy.edge import writing
from vcproxy.edge.writing import Renderer


def test_a_small_head_is_made_once_and_a_large_one_leaves_nothing_behind() -> None:
    renderer = Renderer()
    small, large = (("X-App", "x"),), (("X-App", "x" * 3000),)
    assert renderer.head(200, small) is renderer.head(200, small)
    assert renderer.head(200, large) == renderer.head(200, large) == b"HTTP/1.1 200 OK\r\nX-App: %b\r\n" % (b"x" * 3000)
    assert all(len(head) <= writing.SMALL for head in renderer._kept.values())


def test_no_more_heads_are_kept_than_there_is_room_for() -> None:
    renderer = Renderer()
    for number in range(3 * writing.KEPT):
        renderer.head(200, (("X-App", str(number)),))
    assert len(renderer._kept) <= writing.KEPT
