"""Names of any path segment stand on the host as DNS subdomains and come back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core.escape import escape, unescape

_subdomain = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_odd = st.text(st.sampled_from("ab0-.:Xx2d-_"), min_size=1, max_size=12)
_any = st.text(st.characters(codec="utf-8", exclude_characters="/%"), min_size=1, max_size=20)


@given(_odd | _any)
def test_every_name_is_a_subdomain_on_the_host_and_comes_back(name: str) -> None:
    assert _subdomain.match(escape(name)), escape(name)
    assert unescape(escape(name)) == name


@given(_odd, _odd)
def test_two_names_never_become_one(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("view", "view"),
        ("my-role.v2", "my-role.v2"),
        ("system:node", "systemx--3anode"),
        ("A", "x--41"),
        ("a--b", "ax--2dx--2db"),
        ("x--3a", "xx--2dx--2d3a"),
        ("-a.", "x--2dax--2e"),
    ],
)
def test_names_stay_readable(name: str, host: str) -> None:
    assert escape(name) == host


def test_a_text_that_is_no_escape_stays() -> None:
    assert unescape("ax--ffb") == "ax--ffb"


def test_what_is_generated_behind_a_base_comes_back_behind_it() -> None:
    assert unescape(escape("run-") + "x7k2p") == "run-x7k2p"
