"""Many rules, found by the words that they hold: what a question costs hardly grows with how many name what it asks.

Rules are numbered. For each word there is kept which rules hold it, one bit each, in blocks of BLOCK numbers; what a
question is after are the bits that its verb, its group, its resource and its name have in common. What is kept grows
with the words of the rules and not with their product. One user's rules are bits too, so that all users of a tenant
share what is kept here.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vcproxy.core.rbac import ALL, Rule

BLOCK: Final = 2048
"""Numbers in a block."""
BLOCK_BYTES: Final = 512
"""What a block takes in memory at most, roughly."""

Mask = Mapping[int, int]
"""Numbers of rules: bits by block."""
_NONE: Final[Mask] = {}


class Postings:
    """Rules that were numbered so far, whosoever they are; `words` is how many they hold."""

    def __init__(self) -> None:
        self.words = 0
        self._numbers: dict[Rule, int] = {}
        self._verbs, self._groups, self._resources, self._names = _Words(), _Words(), _Words(), _Words()
        self._paths = _Paths()

    @property
    def depth(self) -> int:
        """How many beginnings of paths there may be of one path."""
        return self._paths.depth

    def mask(self, rules: Iterable[Rule]) -> Mask:
        """The numbers of rules, which are taken up where they are not yet."""
        made: dict[int, int] = {}
        for rule in rules:
            _put(made, self._number(rule))
        return made

    def has(self, own: Mask, verb: str, group: str, resources: Iterable[str], name: str | None) -> bool:
        """Whether one of `own` holds a verb, a group, one of several resources and a name; None is any name."""
        return any(
            self._meets(found, own, verb, group, name)
            for resource in resources
            if (found := self._resources.of(resource))
        )

    def _meets(self, found: Mask, own: Mask, verb: str, group: str, name: str | None) -> bool:
        """Whether one of `found` is one of `own` and holds the rest: first what tells most rules apart."""
        unnamed, named = self._names.of(None).get, self._names.of(name).get
        all_groups, groups = self._groups.of(ALL).get, self._groups.of(group).get
        all_verbs, verbs = self._verbs.of(ALL).get, self._verbs.of(verb).get
        for block, bits in found.items():
            if (
                (bits := bits & (unnamed(block, 0) | named(block, 0)))
                and (bits := bits & (verbs(block, 0) | all_verbs(block, 0)))
                and (bits := bits & (groups(block, 0) | all_groups(block, 0)))
                and bits & own.get(block, 0)
            ):
                return True
        return False

    def has_url(self, own: Mask, verb: str, path: str) -> bool:
        """Whether one of `own` holds a verb of a path, which may end in `*` itself."""
        all_verbs, verbs = self._verbs.of(ALL), self._verbs.of(verb)
        return any(
            bits & own.get(block, 0) & (verbs.get(block, 0) | all_verbs.get(block, 0))
            for mask in self._paths.covering(path)
            for block, bits in mask.items()
        )

    def has_all(self, own: Mask, rule: Rule) -> bool:
        """Whether one of `own` holds all words of a rule for resources; `*/scale` is no other word here."""
        left = self._verbs.with_all(own, rule.verbs, ALL)
        left = self._groups.with_all(left, rule.groups, ALL)
        left = self._resources.with_all(left, rule.resources, ALL)
        return bool(self._names.with_all(left, rule.names, None, holds_none=False))

    def _number(self, rule: Rule) -> int:
        known = self._numbers.get(rule)
        if known is not None:
            return known
        number = self._numbers[rule] = len(self._numbers)
        for words, kept in (
            (rule.verbs, self._verbs),
            (rule.groups, self._groups),
            (rule.resources, self._resources),
            (rule.names or (None,), self._names),
            (rule.urls, self._paths),
        ):
            self.words += len(words)
            for word in set(words):
                kept.add(word, number)
        return number


class _Words:
    """Which rules hold each word. Most words are held by one rule: its bare number is kept then."""

    def __init__(self) -> None:
        self._found: dict[str | None, int | dict[int, int]] = {}

    def add(self, word: str | None, number: int) -> None:
        """A rule holds a word; it is told of once."""
        known = self._found.get(word)
        if known is None:
            self._found[word] = number
            return
        if isinstance(known, int):
            first, known = known, {}
            self._found[word] = known
            _put(known, first)
        _put(known, number)

    def of(self, word: str | None) -> Mask:
        """Which rules hold a word."""
        known = self._found.get(word)
        if isinstance(known, int):
            return {known // BLOCK: 1 << known % BLOCK}
        return known if known is not None else _NONE

    def with_all(self, own: Mask, words: Iterable[str], any_word: str | None, *, holds_none: bool = True) -> Mask:
        """Which of `own` hold all words, or the one that stands for any; where there are none if `holds_none`."""
        masks, free = [self.of(word) for word in words], self.of(any_word)
        left: dict[int, int] = {}
        for block, bits in own.items():
            found = bits if masks or holds_none else 0
            for mask in masks:
                found &= mask.get(block, 0)
            if found := found | bits & free.get(block, 0):
                left[block] = found
        return left


class _Paths(_Words):
    """Paths, and beginnings of paths: those written with a `*` at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._beginnings = _Words()
        self._texts: set[str] = set()
        self._order: _Order | None = None

    @property
    def depth(self) -> int:
        return self._ordered().depth

    def add(self, word: str | None, number: int) -> None:
        super().add(word, number)
        if word is not None and word.endswith(ALL):
            text = word.rstrip(ALL)
            self._beginnings.add(text, number)
            if text not in self._texts:
                self._texts.add(text)
                self._order = None

    def covering(self, path: str) -> Iterator[Mask]:
        """Which rules hold a path, or a beginning of it."""
        yield self.of(path)
        for text in self._ordered().beginnings(path):
            yield self._beginnings.of(text)

    def _ordered(self) -> "_Order":
        if self._order is None:
            self._order = _Order(self._texts)
        return self._order


class _Order:
    """Texts in order, each with the longest other one that it begins with; `depth` is of how many each in another."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts)
        self._outer: list[int] = []
        self.depth = 0
        around: list[int] = []
        for at, text in enumerate(self._texts):
            while around and not text.startswith(self._texts[around[-1]]):
                around.pop()
            self._outer.append(around[-1] if around else -1)
            around.append(at)
            self.depth = max(self.depth, len(around))

    def beginnings(self, path: str) -> Iterator[str]:
        """All texts that a path begins with: the last one before it has them around it, or is one itself."""
        at = bisect_right(self._texts, path) - 1
        while at >= 0:
            if path.startswith(self._texts[at]):
                yield self._texts[at]
            at = self._outer[at]


def _put(mask: dict[int, int], number: int) -> None:
    block, at = divmod(number, BLOCK)
    mask[block] = mask.get(block, 0) | 1 << at
