"""A lens: a pair (up, down) for one sort of value.

`up` turns what a tenant wrote into what is stored, `down` turns what is stored into what the tenant sees, and for
every value that a tenant can write `down(up(value)) == value`. A value of another type than expected passes unchanged:
one odd object never fails a list. Lenses hold no paths; the rows in core.rules say where each stands. The modules
core.fields_* have them, each those of one subject.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import msgspec

from vcproxy.core.scope import Scope

Way = Callable[[Any, Scope], Any]


class Inside(Enum):
    """What a patch may do below the place of a lens, going to the host as what it is."""

    NOTHING = "a plain value: nothing stands below it"
    FIELDS = "fields are rewritten one by one"
    CLOSED = "only the whole value can be rewritten"


ID: Final = ""
"""Stands for the tenant's id among the texts of `Lens.wakes`."""
OURS: Final = "vcproxy"
"""Stands in every name that is vcproxy's own: the text that wakes what takes such names off."""


class Lens(msgspec.Struct, frozen=True):
    """A named pair. `adds`: `up` adds something, to an absent container too. `hides`: `down` takes something off.

    Where a lens hides something, a patch must not replace or remove the whole container on the host.

    `wakes` is a promise about `down`: it gives back a value as it is, unless at least one of these texts stands in the
    JSON of that value. None promises nothing: `down` has to be asked for every value.

    `members`: of an object the lens looks at these members alone, and changes no other. Empty: at all of the value.
    """

    name: str
    up: Way
    down: Way
    inside: Inside = Inside.NOTHING
    adds: bool = False
    hides: bool = False
    wakes: tuple[str, ...] | None = None
    members: tuple[str, ...] = ()


def text(function: Callable[[str, Scope], str]) -> Way:
    """A way for texts: an empty one, and a value of another type, passes."""
    return lambda value, scope: function(value, scope) if isinstance(value, str) and value else value


def same(value: Any, scope: Scope) -> Any:
    """The way of a value that passes as it is."""
    return value
