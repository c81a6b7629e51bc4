"""Which tenant an address names, and as whom a request is made."""

import time
from typing import Any

import pytest

from tests.flow.scripted import ACME, Answer, World

POD = "/api/v1/namespaces/web/pods/a"
SELF_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
STORED = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "acme-web"}}
UNAVAILABLE = "forbidden: this cluster is not available to you: ask its provider"


async def test_a_tenants_name_in_the_path_is_taken_off_before_the_rest_is_read() -> None:
    world = World(Answer(200, STORED))
    code, pod = await world.ask("GET", f"/t/acme{POD}")
    assert (code, pod["metadata"]["namespace"]) == (200, "web")
    assert world.host.asked == ["GET /api/v1/namespaces/acme-web/pods/a"]


@pytest.mark.parametrize("named", ["globex", "nobody", "ACME", "%61cme", "..", "acme.x", "a" * 300])
async def test_tenants_unknown_and_of_others_are_refused_alike(named: str) -> None:
    world = World()
    code, refusal = await world.ask("GET", f"/t/{named}{POD}")
    assert (code, refusal["message"]) == (403, UNAVAILABLE)
    assert world.host.asked == []


async def test_without_a_good_credential_no_tenants_name_is_looked_at() -> None:
    world = World()
    world.token = "bad"
    answers = [await world.ask("GET", f"/t/{named}{POD}") for named in ("acme", "nobody")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


async def test_a_prefix_does_not_excuse_a_path_that_is_not_canonical() -> None:
    for path in ("//api", "/api/../v1", "/%2e%2e/api"):
        code, _ = await World().ask("GET", f"/t/acme{path}")
        assert code == 400


async def who(world: World, **headers: str) -> Any:
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    code, document = await world.ask("POST", SELF_REVIEW, review, **headers)
    return document["status"]["userInfo"] if code == 201 else (code, document["message"])


async def test_an_administrator_acts_as_somebody_else_and_is_shown_as_that() -> None:
    shown = await who(
        World(),
        Impersonate_User="bob",
        Impersonate_Group="devs",
        Impersonate_Uid="7",
        **{"Impersonate_Extra_example.com%2fteam": "blue"},
    )
    assert shown == {
        "username": "bob",
        "uid": "7",
        "groups": ["devs", "system:authenticated"],
        "extra": {"example.com/team": ["blue"]},
    }


async def test_the_host_hears_who_really_asks_and_as_whom() -> None:
    world = World()
    await world.ask("GET", POD)
    await world.ask("GET", POD, Impersonate_User="bob", Impersonate_Group="tenant:admin")
    told = [
        [value for name, value in world.host.requests[at].headers if name == "Impersonate-Extra-vcproxy.io%2Fuser"]
        for at in (0, 1)
    ]
    assert told == [["ann"], ["ann", "bob"]]


async def test_who_acts_as_somebody_has_that_ones_rights() -> None:
    world = World()
    code, refusal = await world.ask("GET", POD, Impersonate_User="bob")
    assert code == 403
    assert 'User "bob" cannot get resource "pods"' in refusal["message"]


async def test_who_may_not_impersonate_is_told_so_in_the_words_of_the_api_server() -> None:
    world = World()
    world.token = world.issuer.issue(ACME, "uid-1", "eve", ("devs",), 600, time.time())[0]
    for headers, word in (
        ({}, 'users "ann" is forbidden: User "eve" cannot impersonate resource "users" in API group "" at'),
        ({"Impersonate_Group": "tenant:admin"}, 'users "ann" is forbidden'),
    ):
        code, message = await who(world, Impersonate_User="ann", **headers)
        assert code == 403
        assert word in message
    assert world.host.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate_User": "system:node:a"},
        {"Impersonate_User": "vcproxy:tenant:globex"},
        {"Impersonate_User": "bob", "Impersonate_Group": "system:masters"},
        {"Impersonate_User": "bob", "Impersonate_Group": "system:nodes"},
    ],
)
async def test_names_of_the_hosts_components_are_for_nobody(headers: dict[str, str]) -> None:
    assert (await who(World(), **headers))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [{"Impersonate_Group": "tenant:admin"}, {"Impersonate_Uid": "7"}, {"Impersonate_Extra_example.com%2fteam": "blue"}],
)
async def test_groups_and_uids_without_a_user_are_refused(headers: dict[str, str]) -> None:
    assert (await who(World(), **headers))[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate_User": "b" * 1025},
        {"Impersonate_User": "bob", "Impersonate_Group": "g" * 1025},
        {"Impersonate_User": "bob", "Impersonate_Uid": "7" * 1025},
        {"Impersonate_User": "bob", "Impersonate_Extra_team": "x" * 1025},
        {"Impersonate_User": "bob", f"Impersonate_Extra_{'k' * 1025}": "x"},
        {"Impersonate_User": "bob"} | {f"Impersonate_Extra_{at}": "x" * 1000 for at in range(9)},
        {"Impersonate_User": "\xeb" * 600},
    ],
)
async def test_names_that_are_too_long_are_refused_before_anything_is_kept_of_them(headers: dict[str, str]) -> None:
    code, message = await who(World(), **{key: mojibake(value) for key, value in headers.items()})
    assert code == 400
    assert "1024 bytes at most" in message


def mojibake(text: str) -> str:
    """A text as the listener gives the bytes that Go's clients send for it."""
    return text.encode().decode("latin-1")


async def test_names_are_the_utf8_that_clients_send() -> None:
    shown = await who(
        World(),
        Impersonate_User=mojibake("zo\xeb"),
        Impersonate_Group=mojibake("\u8eca"),
        **{"Impersonate_Extra_%c3%ab%4a": mojibake("\xeb"), "Impersonate_Extra_50%": "x"},
    )
    assert (shown["username"], shown["groups"][0]) == ("zo\xeb", "\u8eca")
    assert shown["extra"] == {"\xebJ": ["\xeb"], "50%": ["x"]}


@pytest.mark.parametrize(
    "headers",
    [{"Impersonate_User": "zo\xeb"}, {"Impersonate_User": "bob", "Impersonate_Extra_%ff": "x"}],
)
async def test_what_is_no_utf8_is_refused(headers: dict[str, str]) -> None:
    code, message = await who(World(), **headers)
    assert code == 400
    assert "UTF-8" in message


async def test_a_service_account_comes_with_its_groups() -> None:
    shown = await who(World(), Impersonate_User="system:serviceaccount:web:builder")
    assert shown["groups"] == ["system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated"]
