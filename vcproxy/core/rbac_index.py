"""Rules put in order, so that a question costs a few look-ups however many they are.

A rule names every verb with every group and every resource. Where these are few pairs they stand in a table, with the
names that count there, until the table is full; other rules are found by their words (core/rbac_postings.py).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Final

from vcproxy.core.rbac import ALL, Attributes, Rule
from vcproxy.core.rbac_postings import BLOCK_BYTES, Mask, Postings

NARROW: Final = 64
"""Pairs of a rule that are written out."""
ROOM: Final = 2048
"""Pairs that are written out of all rules of one index: some 0.4 MB, so that a policy has room for several indexes."""
ENTRY_BYTES: Final = 200
"""What one of them takes in memory, roughly."""
RULE_BYTES: Final = 8
"""What a rule takes that stands elsewhere anyway."""

_Names = set[str] | frozenset[str] | None
"""The names that count; None where any does."""


def pairs(rule: Rule) -> int:
    """How many pairs of verb, group, resource and, where it has some, name there are in a rule."""
    return len(rule.groups) * len(rule.resources) * len(rule.verbs) * max(1, len(rule.names))


class RuleIndex:
    """What a list of rules allows. `size` is about how many bytes it takes.

    `postings` has room for the rules that are not written out; indexes of one policy share it.
    """

    def __init__(self, rules: Iterable[Rule], postings: Postings | None = None) -> None:
        self.rules = tuple(rules)
        self._table: dict[tuple[str, str], dict[str, _Names]] = {}
        self._left = ROOM
        self._postings = postings if postings is not None else Postings()
        urls: dict[str, list[str]] = {}
        wide = [rule for rule in self.rules if not self._written(rule, urls)]
        self._wide: Mask = self._postings.mask(wide)
        self._urls = {verb: _Urls(found) for verb, found in urls.items()}
        self.size = ENTRY_BYTES * (1 + ROOM - self._left)
        self.size += RULE_BYTES * len(self.rules) + BLOCK_BYTES * len(self._wide)

    @property
    def blocks(self) -> int:
        """In how many blocks of numbers its rules are found by their words."""
        return len(self._wide)

    @property
    def steps(self) -> int:
        """How many look-ups a question is."""
        return 1 + (len(self._wide) + self._postings.depth) // 4 if self._wide else 1

    def allows(self, asked: Attributes) -> bool:
        """Whether a rule allows what is asked (rbac.RuleAllows)."""
        if not asked.resource:
            return self.has_url(asked.verb, asked.path)
        if asked.subresource:
            words = (f"{asked.resource}/{asked.subresource}", f"*/{asked.subresource}", ALL)
            return self._has(asked.verb, asked.group, words, asked.name)
        return self._has(asked.verb, asked.group, (asked.resource, ALL), asked.name)

    def has(self, verb: str, group: str, resource: str, name: str | None) -> bool:
        """Whether one rule holds all of one pair, `*` being a word like others; None is any name (ruleCovers)."""
        _, slash, sub = resource.partition("/")
        return self._has(verb, group, (resource, f"*/{sub}", ALL) if slash else (resource, ALL), name)

    def _has(self, verb: str, group: str, words: tuple[str, ...], name: str | None) -> bool:
        table = self._table
        for space in (group, ALL):
            for word in words:
                verbs = table.get((space, word))
                if verbs is not None and (_named(verbs, verb, name) or _named(verbs, ALL, name)):
                    return True
        return bool(self._wide) and self._postings.has(self._wide, verb, group, words, name)

    def has_url(self, verb: str, path: str) -> bool:
        """Whether a rule holds a verb of a path, which may end in `*` itself."""
        found = (self._urls.get(one) for one in (verb, ALL))
        if any(urls is not None and urls.cover(path) for urls in found):
            return True
        return bool(self._wide) and self._postings.has_url(self._wide, verb, path)

    def has_all(self, rule: Rule) -> bool:
        """Whether one rule that is not written out holds all of another one, which has no paths."""
        return bool(self._wide) and self._postings.has_all(self._wide, rule)

    def _written(self, rule: Rule, urls: dict[str, list[str]]) -> bool:
        """Whether there is room for a rule in the tables, where it is then."""
        number, paths = pairs(rule), len(rule.urls) * len(rule.verbs)
        if max(number, paths) > NARROW or number + paths > self._left:
            return False
        self._left -= number + paths
        names = frozenset(rule.names) or None
        for pair in product(rule.groups, rule.resources):
            verbs = self._table.setdefault(pair, {})
            for verb in rule.verbs:
                verbs[verb] = _together(verbs[verb], names) if verb in verbs else names
        for verb in rule.verbs if rule.urls else ():
            urls.setdefault(verb, []).extend(rule.urls)
        return True


class _Urls:
    """Paths, and beginnings of paths: those written with a `*` at the end."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._exact = frozenset(urls)
        self._beginnings: list[str] = []
        for one in sorted(url.rstrip(ALL) for url in self._exact if url.endswith(ALL)):
            if not (self._beginnings and one.startswith(self._beginnings[-1])):
                self._beginnings.append(one)

    def cover(self, path: str) -> bool:
        """No beginning begins another one, so only the last one before `path` may begin it."""
        if path in self._exact:
            return True
        at = bisect_right(self._beginnings, path)
        return at > 0 and path.startswith(self._beginnings[at - 1])


def _named(verbs: Mapping[str, _Names], verb: str, name: str | None) -> bool:
    names = verbs.get(verb, _NOBODY)
    return names is None or name in names


def _together(known: _Names, more: frozenset[str] | None) -> _Names:
    """Names of two rules; a set that is the table's own is added to."""
    if known is None or more is None:
        return None
    own = known if isinstance(known, set) else set(known)
    own |= more
    return own


_NOBODY: Final[frozenset[str]] = frozenset()
