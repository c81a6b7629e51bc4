"""The Secret vcproxy-keys: taken up when it comes, kept when what comes cannot be read."""

import pytest

from vcproxy.access.certificates import make_ca
from vcproxy.access.keys import Keys
from vcproxy.access.secrets import Secrets


def data() -> dict[str, bytes]:
    ca = make_ca()
    return {**Keys.generate(), "ca.crt": ca.certificate, "ca.key": ca.key}


def test_there_is_no_authority_before_the_secret_was_read() -> None:
    secrets = Secrets()
    assert secrets.keys is None
    with pytest.raises(ValueError, match="has not been read"):
        secrets.authority()


def test_what_is_read_counts_at_once() -> None:
    secrets, found = Secrets(), data()
    secrets.update(found)
    assert secrets.keys is not None
    assert secrets.authority().certificate == found["ca.crt"]


@pytest.mark.parametrize("missing", ["signing.json", "sealing.json", "ca.crt", "ca.key"])
def test_a_secret_without_a_part_changes_nothing(missing: str) -> None:
    secrets, found = Secrets(), data()
    secrets.update(found)
    keys = secrets.keys
    secrets.update({key: value for key, value in data().items() if key != missing})
    assert secrets.keys is keys
    assert secrets.authority().certificate == found["ca.crt"]
    secrets.update(None)
    assert secrets.keys is keys
