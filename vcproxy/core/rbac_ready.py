"""Rules that are kept ready for those who asked lately: of the policies of all tenants, within one bound."""

from collections.abc import Callable
from typing import Final

from vcproxy.core.rbac import User
from vcproxy.core.rbac_index import RuleIndex

BYTES: Final = 64 * 2**20
"""What is kept for all policies together, roughly."""
SHARE: Final = 8
"""One policy keeps so much less at most, so that one tenant leaves room to the others."""
KEY_BYTES: Final = 65536
"""Longer keys (a user with its groups) are not kept."""


Held = tuple[User, str]
"""Whose rights are kept, and where: those of cluster scope (""), and those of each namespace, by themselves."""


class Ready:
    """Indexes by policy and by whose they are. The oldest go first."""

    def __init__(self, limit: int = BYTES) -> None:
        self._limit = limit
        self._kept: dict[int, dict[Held, tuple[RuleIndex, int]]] = {}
        self._sizes: dict[int, int] = {}
        self.size = 0
        """Bytes that are kept, as far as they are counted."""

    def get(self, policy: int, key: Held) -> RuleIndex | None:
        found = self._kept.get(policy)
        kept = found.get(key) if found is not None else None
        return kept[0] if kept is not None else None

    def keep(self, policy: int, key: Held, index: RuleIndex, length: int) -> None:
        """Keep one, others going where there is no room; alone in its policy where it takes more than its share.

        So nothing is put in order anew for each question. `length` is that of the texts of the key; long ones are not
        kept.
        """
        size = index.size + length
        if length > KEY_BYTES:
            return
        while policy in self._kept and self._sizes[policy] + size > self._limit // SHARE:
            self._drop(policy)
        while self._kept and self.size + size > self._limit:
            self._drop(next(iter(self._kept)))
        self._kept.setdefault(policy, {})[key] = index, size
        self._count(policy, size)

    def forget(self, policy: int) -> None:
        """A policy that another one took the place of."""
        self._kept.pop(policy, None)
        self.size -= self._sizes.pop(policy, 0)

    def hand_on(self, policy: int, successor: int, counts: Callable[[Held], bool]) -> None:
        """Another policy takes the place of one, and what of it still counts."""
        kept = {key: one for key, one in self._kept.get(policy, {}).items() if counts(key)}
        self.forget(policy)
        if kept:
            self._kept[successor] = kept
            self._count(successor, sum(size for _, size in kept.values()))

    def _drop(self, policy: int) -> None:
        kept = self._kept[policy]
        _, size = kept.pop(next(iter(kept)))
        self._count(policy, -size)
        if not kept:
            del self._kept[policy], self._sizes[policy]

    def _count(self, policy: int, size: int) -> None:
        self._sizes[policy] = self._sizes.get(policy, 0) + size
        self.size += size
