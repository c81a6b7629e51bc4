"""Rules put in order, so that a question costs a few look-ups however many they are.

A rule names every verb with every group and every resource. Where these are few pairs they stand in a table, with the
names that count there; a rule of many pairs stays as it is, as sets, found by each resource that it names.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Final

from vcproxy.core.rbac import ALL, Attributes, Rule

NARROW: Final = 64
"""Pairs of a rule that are written out."""
ENTRY_BYTES: Final = 200
"""What one of them takes in memory, roughly; a word of a rule that is kept as sets takes no more."""

_Names = set[str] | frozenset[str] | None
"""The names that count; None where any does."""


def pairs(rule: Rule) -> int:
    """How many pairs of verb, group, resource and, where it has some, name there are in a rule."""
    return len(rule.groups) * len(rule.resources) * len(rule.verbs) * max(1, len(rule.names))


class Wide:
    """A rule of many pairs."""

    def __init__(self, rule: Rule) -> None:
        self.verbs, self.groups = frozenset(rule.verbs), frozenset(rule.groups)
        self.resources, self.names = frozenset(rule.resources), frozenset(rule.names)

    def has(self, verb: str, group: str, name: str | None) -> bool:
        """Whether it holds these with a resource that it names."""
        return _has(self.verbs, verb) and _has(self.groups, group) and (not self.names or name in self.names)

    def has_all(self, other: "Wide") -> bool:
        """Whether each pair of another rule is one of this one, whose `*/scale` and the like are not looked for."""
        verbs = ALL in self.verbs or other.verbs <= self.verbs
        groups = ALL in self.groups or other.groups <= self.groups
        names = not self.names or (bool(other.names) and other.names <= self.names)
        return verbs and groups and names and (ALL in self.resources or other.resources <= self.resources)


class RuleIndex:
    """What a list of rules allows. `size` is about how many bytes it takes, `steps` how many look-ups a question."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.size = ENTRY_BYTES
        self._table: dict[tuple[str, str], dict[str, _Names]] = {}
        self._wide: dict[str, list[Wide]] = {}
        self._urls: dict[str, _Urls] = {}
        self._wide_urls: list[tuple[frozenset[str], _Urls]] = []
        urls: dict[str, list[str]] = {}
        for rule in self.rules:
            self._add(rule)
            self._add_urls(rule, urls)
        self._urls = {verb: _Urls(found) for verb, found in urls.items()}
        self.steps = 1 + (max(map(len, self._wide.values()), default=0) + len(self._wide_urls)) // 4

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
        if not self._wide:
            return False
        return any(one.has(verb, group, name) for word in words for one in self._wide.get(word, ()))

    def has_url(self, verb: str, path: str) -> bool:
        """Whether a rule holds a verb of a path, which may end in `*` itself."""
        found = (self._urls.get(one) for one in (verb, ALL))
        if any(urls is not None and urls.cover(path) for urls in found):
            return True
        return any(_has(verbs, verb) and urls.cover(path) for verbs, urls in self._wide_urls)

    def _add(self, rule: Rule) -> None:
        number = pairs(rule)
        if number > NARROW:
            self._add_wide(rule)
            return
        self.size += ENTRY_BYTES * number
        names = frozenset(rule.names) or None
        for pair in product(rule.groups, rule.resources):
            verbs = self._table.setdefault(pair, {})
            for verb in rule.verbs:
                verbs[verb] = _together(verbs[verb], names) if verb in verbs else names

    def _add_wide(self, rule: Rule) -> None:
        self.size += ENTRY_BYTES * (len(rule.groups) + len(rule.resources) + len(rule.verbs) + len(rule.names))
        wide = Wide(rule)
        for word in wide.resources:
            self._wide.setdefault(word, []).append(wide)

    def _add_urls(self, rule: Rule, urls: dict[str, list[str]]) -> None:
        if not rule.urls:
            return
        pairs = len(rule.urls) * len(rule.verbs)
        self.size += ENTRY_BYTES * min(pairs, len(rule.urls) + len(rule.verbs) + NARROW)
        if pairs > NARROW:
            self._wide_urls.append((frozenset(rule.verbs), _Urls(rule.urls)))
            return
        for verb in rule.verbs:
            urls.setdefault(verb, []).extend(rule.urls)

    def wide(self, resource: str) -> Sequence[Wide]:
        """The rules of many pairs that name a resource, or all."""
        return [*self._wide.get(resource, ()), *(self._wide.get(ALL, ()) if resource != ALL else ())]


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


def _has(own: frozenset[str], wanted: str) -> bool:
    return wanted in own or ALL in own


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
