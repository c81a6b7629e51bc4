"""The group that says whether anybody vouches for a caller; compared with an API server in e2e/test_reviews.py."""

import pytest

from vcproxy.core.caller import all_groups

YES, NO = "system:authenticated", "system:unauthenticated"


@pytest.mark.parametrize(
    ("user", "groups", "all_of_them"),
    [
        ("ann", (), (YES,)),
        ("ann", ("dev",), ("dev", YES)),
        ("ann", (YES, "dev"), (YES, "dev")),
        ("ann", (NO,), (NO,)),
        ("system:anonymous", (), (NO,)),
        ("system:anonymous", ("dev",), ("dev", NO)),
        ("system:anonymous", (YES,), (YES, NO)),
        ("system:anonymous", (NO, "dev"), (NO, "dev")),
    ],
)
def test_one_of_two_groups_is_everybodys(user: str, groups: tuple[str, ...], all_of_them: tuple[str, ...]) -> None:
    assert all_groups(user, groups) == all_of_them
