"""What wakes the rules of a kind: its rule tree, made ready for core.partial, which says why this is sound."""

from functools import lru_cache
from typing import Final

import msgspec

from vcproxy.core import objects
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.lens import ID, Lens
from vcproxy.core.objects import ITEMS, Node

SEARCHED: Final = 2
"""Up to how many texts a branch is searched for before it is split up: a search costs half of what splitting does.

What has nothing below it is always searched: else it would be decoded and encoded whole."""


class Plan(msgspec.Struct):
    """A node of the rule tree, made ready: what wakes it (`texts`, and the tenant's id if `by_id`) and how to go on.

    `fields` are those that rules name, `rest` are all of them but `metadata`, `only` is the lens of a place that has
    one lens and nothing below. `members` are those that the lenses of this place look at, where that is all they do.
    """

    node: Node
    only: Lens | None
    fields: dict[str, "Plan"]
    rest: dict[str, "Plan"]
    items: "Plan | None"
    texts: tuple[bytes, ...]
    by_id: bool
    searched: bool
    members: tuple[str, ...]
    lens_texts: tuple[bytes, ...]


@lru_cache(maxsize=1024)
def plan_of(group: str, kind: str, exports: Exports = NOTHING) -> Plan:
    return _plan(objects.tree_of(group, kind, exports))


def _plan(node: Node) -> Plan:
    texts = _texts(node)
    only = node.lenses[0] if len(node.lenses) == 1 and not node.children else None
    fields = {key: _plan(child) for key, child in node.children.items() if key != ITEMS}
    return Plan(
        node,
        only,
        fields,
        {key: child for key, child in fields.items() if key != "metadata"},
        _plan(node.children[ITEMS]) if ITEMS in node.children else None,
        tuple(sorted(text.encode() for text in texts if text)),
        ID in texts,
        "" not in _keys_to_unsure(node) and (len(texts) <= SEARCHED or only is not None),
        _members(node),
        tuple(sorted({text.encode() for lens in node.lenses for text in lens.wakes or ("",)})),
    )


def _members(node: Node) -> tuple[str, ...]:
    if not all(lens.members for lens in node.lenses):
        return ()
    return tuple(sorted({key for lens in node.lenses for key in lens.members}))


def _texts(node: Node) -> set[str]:
    """Texts of which one stands in every value of this place that the rules change."""
    own = {text for lens in node.lenses for text in lens.wakes or ()}
    return own.union(*(_texts_below(key, child) for key, child in node.children.items()))


def _texts_below(key: str, child: Node) -> set[str]:
    """The texts of a child; of a lens that promises nothing the longest key on the way to it, the rarest by guess."""
    woken, keys = _texts(_promising(child)), _keys_to_unsure(child)
    rare = {max("" if key == ITEMS else key, longest, key=len) for longest in keys}
    return woken | (rare - {""})


def _promising(node: Node) -> Node:
    """The tree without lenses that promise nothing."""
    kept = {key: _promising(child) for key, child in node.children.items()}
    return Node([lens for lens in node.lenses if lens.wakes is not None], kept)


def _keys_to_unsure(node: Node) -> set[str]:
    """For each lens at or below a node that promises nothing: the longest key on the way from the node to it.

    Empty where no key is on the way, as for the items of a list: then no search can spare looking.
    """
    here = {""} if any(lens.wakes is None for lens in node.lenses) else set()
    below = (
        max("" if key == ITEMS else key, longest, key=len)
        for key, child in node.children.items()
        for longest in _keys_to_unsure(child)
    )
    return here.union(below)
