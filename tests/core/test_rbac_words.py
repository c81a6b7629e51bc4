"""How much roles and bindings are, and that what has no room is refused with what to do."""

from typing import Any

from tests.core.rbac_documents import DEV, USER, bind, role, rule
from vcproxy.core.rbac_policy import parsed
from vcproxy.core.rbac_words import Room, excess, words


def test_each_text_is_a_word_and_a_long_one_several() -> None:
    assert words(parsed(role("r"))) == 1
    assert words(parsed(role("r", rule("get list", "pods")))) == 1 + 4
    assert words(parsed(role("r", rule("get", urls=f"/{'x' * 200}")))) == 1 + 1 + 4
    assert words(parsed(bind("r", USER, DEV, space="web"))) == 1 + 3 + 2
    chosen: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "x"}}]}}
    assert words(parsed(role("r", labels={"a": "b"}, **chosen))) == 1 + 2 + 2
    assert words(parsed(role("r", labels={"a": "b"}, space="web"))) == 1  # they are not kept either


def test_what_has_no_room_is_refused_with_what_to_do() -> None:
    said = excess(Room(98, 100), parsed(role("r", rule("get", "pods"))), None) or ""
    assert said.startswith("exceeded quota: the roles and bindings of this cluster may have 100 words and have 98")
    assert "delete some" in said
    assert excess(Room(96, 100), parsed(role("r", rule("get", "pods"))), None) is None


def test_what_gets_no_bigger_has_room_where_there_is_none() -> None:
    one = parsed(role("r", rule("get", "pods")))
    assert excess(Room(200, 100), one, one) is None
    assert excess(Room(200, 100), parsed(role("r")), one) is None
    assert excess(Room(200, 100), parsed(role("r", rule("get list", "pods"))), one) is not None
