"""The Secret `vcproxy-keys` as the host has it now: what is read of it stays in force until something better comes."""

import logging
from collections.abc import Mapping

from vcproxy.access.certificates import Pair
from vcproxy.access.keys import Keys

log = logging.getLogger(__name__)


class Secrets:
    """The keys and vcproxy's own CA; None until the Secret was read."""

    def __init__(self) -> None:
        self.keys: Keys | None = None
        self.ca: Pair | None = None

    def update(self, data: Mapping[str, bytes] | None) -> None:
        """Take up the Secret's data; what cannot be read leaves the old keys in force."""
        try:
            keys = Keys.from_secret(data or {})
            ca = Pair((data or {})["ca.crt"], (data or {})["ca.key"])
        except (ValueError, KeyError) as error:
            log.error("the Secret vcproxy-keys cannot be read: %s", type(error).__name__)
            return
        self.keys, self.ca = keys, ca

    def authority(self) -> Pair:
        """The CA. Raises ValueError until it was read."""
        if self.ca is None:
            raise ValueError("the Secret vcproxy-keys has not been read")
        return self.ca
