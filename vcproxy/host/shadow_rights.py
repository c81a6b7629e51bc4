"""What writes of Shadow kinds have to do with rights, and the refusals for want of them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from vcproxy.core import printers, status
from vcproxy.core.kinds import Kind
from vcproxy.core.plan import Shadow
from vcproxy.core.printers import Object
from vcproxy.core.status import ApiError


class Rights(Protocol):
    """What a write of these kinds has to do with rights, for one caller."""

    def defaults(self, row: Kind) -> Sequence[Object]:
        """The objects of a kind that every tenant has, in its own names; read-only."""
        ...

    def completed(self, document: Object) -> Object:
        """An object with what the host's controllers would fill in: the rules of a role that is aggregated."""
        ...

    def made(self, row: Kind) -> Mapping[str, object]:
        """What of a kind is made of other things, as it is now, by name: another value once a list shows another."""
        ...

    def refusal(self, document: Object, old: Object | None, name: str) -> str | None:
        """Why the caller may not write an object, None if it may (RBAC: no one grants what they do not hold).

        `old` is what stands there now, `name` that of the URL: empty for a POST.
        """
        ...

    def reserve(self, document: Object, old: Object | None) -> AbstractContextManager[object]:
        """A place for what a write that is not refused makes more: it goes on within, and counts meanwhile."""
        ...

    def learn(self, document: Object) -> None:
        """An object as it was just written: it counts at once for whoever wrote it."""
        ...

    def forget(self, document: Object) -> None:
        """An object that was just deleted."""
        ...


def judge(rights: Rights, wanted: Shadow, document: Object, old: Object | None) -> AbstractContextManager[object]:
    """What the write goes on within, so that it counts already. Raises ApiError 403 where the caller may not."""
    words = rights.refusal(document, old, "" if wanted.verb == "create" else wanted.name)
    if words is not None:
        row, name = wanted.row, str(printers.metadata(document).get("name") or wanted.name)
        subject = f'{status.qualified(row.group, row.resource)} "{name}"'
        raise status.forbidden(f"{subject} is forbidden: {words}", row.group, row.resource, name)
    return nullcontext() if dict(wanted.query).get("dryRun") else rights.reserve(document, old)


def read_only(wanted: Shadow) -> ApiError:
    """The refusal of a write to what every tenant has."""
    row = wanted.row
    words = (
        f'{status.qualified(row.group, row.resource)} "{wanted.name}" is forbidden: it is one of this cluster\'s own'
    )
    return status.forbidden(f"{words} and cannot be changed", row.group, row.resource, wanted.name)
