"""Keeps the second wall standing: roles, bindings and policies that somebody changed on the host are put back.

It runs where the controller leads, under the controller's credential, and knows each object by name: what it may write
is listed in its own role. What bounds the controller itself (its role, its binding, the policy `vcproxy-controller`) it
can neither read as its own nor write: only `vcproxy install` does.

Only an installation of this program's own version is healed. While another version is being put in, or everything is
being taken off, the role `vcproxy:controller` is of another version or gone, and nothing is touched.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from vcproxy.core.hosting import Upstream
from vcproxy.core.status import ApiError
from vcproxy.tenants import installation
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of
from vcproxy.tenants.mirror import Mirror
from vcproxy.tenants.reflector import Timing

log = logging.getLogger(__name__)

GATHER: Final = 0.3
"""Seconds in which changes are gathered: whoever changes things without end costs three looks a second."""
PAUSE: Final = 1.0
"""Seconds until the next try after the host refused."""
WEBHOOKS: Final = path_of("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations")
PARTS: Final = ("rules", "aggregationRule", "subjects", "roleRef", "spec", "webhooks")
"""What an object of the wall says; all else is the host's."""


class Healer:
    """`wanted` are the objects of the installation, of which those that are walls are kept; `review` gives one more.

    That is the webhook for pods, which changes with vcproxy's CA. Its ValueError says that it is not known yet.
    """

    def __init__(
        self,
        upstream: Upstream,
        wanted: Iterable[Object],
        *,
        review: Callable[[], Object] | None = None,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        gather: float = GATHER,
    ) -> None:
        everything = list(wanted)
        self._api = HostApi(upstream)
        self._gather = gather
        self._kept = [one for one in everything if installation.is_wall(one)]
        self._review = review
        self._gate = next(one for one in everything if installation.is_gate(one))
        self._changed = asyncio.Event()
        self._mirrors = {
            path: Mirror(
                upstream,
                path,
                lambda found: found,
                lambda *_: self._changed.set(),
                query={"labelSelector": f"{installation.OWNER_LABEL}={installation.OWNER}"},
                timing=timing,
            )
            for path in sorted(
                {_collection(one) for one in [*self._kept, self._gate]} | ({WEBHOOKS} if review else set())
            )
        }

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            for mirror in self._mirrors.values():
                group.create_task(mirror.reflector.run(), name=f"healing {mirror.reflector.path}")
            for mirror in self._mirrors.values():
                await mirror.reflector.wait_synced()
            self._changed.set()
            while True:
                await self._changed.wait()
                await asyncio.sleep(self._gather)
                self._changed.clear()
                await self._look()

    async def _look(self) -> None:
        try:
            await self._heal()
        except (HostError, ApiError, ValueError) as error:
            log.warning("a wall could not be put back: %s", error)
            await asyncio.sleep(PAUSE)
            self._changed.set()

    async def _heal(self) -> None:
        """Put back what is missing or changed. Raises HostError, ApiError or ValueError."""
        if not self._is_ours():
            return
        for wanted in [*self._kept, *([self._review()] if self._review else [])]:
            found = self._found(wanted)
            if found is None:
                await self._make(wanted)
            elif not is_intact(wanted, found) and not found["metadata"].get("deletionTimestamp"):
                await self._put_back(wanted, found)

    def _is_ours(self) -> bool:
        """Whether the installation on the host is of this version and whole."""
        gate = self._found(self._gate)
        return gate is not None and _version(gate) == _version(self._gate)

    def _found(self, wanted: Object) -> Object | None:
        metadata = wanted["metadata"]
        return self._mirrors[_collection(wanted)].items.get((metadata.get("namespace", ""), metadata["name"]))

    async def _make(self, wanted: Object) -> None:
        """By an apply, which the host authorizes with the object's name (a POST has none)."""
        query = urlencode({"fieldManager": installation.OWNER, "force": "true"})
        await self._api.patch(f"{installation.path(wanted)}?{query}", wanted, "application/apply-patch+yaml")
        log.warning("%s %s was missing and has been made again", wanted["kind"], wanted["metadata"]["name"])

    async def _put_back(self, wanted: Object, found: Object) -> None:
        """By a whole replacement: an apply would leave what others added."""
        if wanted.get("roleRef") != found.get("roleRef"):  # the host lets nobody change it
            await self._api.delete(installation.path(wanted), str(found["metadata"]["uid"]))
            return await self._make(wanted)
        try:
            await self._api.replace(installation.path(wanted), put_back(wanted, found))
        except HostError as error:
            if error.code not in (404, 409):  # changed or gone meanwhile: its event comes
                raise
        log.warning("%s %s was changed and has been put back", wanted["kind"], wanted["metadata"]["name"])
        return None


def is_intact(wanted: Object, found: Object) -> bool:
    """Whether an object says what it should, no more and no less; of the impersonator, but for its users."""
    return _parts(wanted) == _parts(_without_users(wanted, found))


def put_back(wanted: Object, found: Object) -> Object:
    """What is found, with the parts that it should have; the users of the impersonator stay."""
    said: Object = {key: wanted[key] for key in PARTS if key in wanted}
    if "rules" in said:
        said["rules"] = installation.with_users(wanted, found)
    labels = {**(found["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
    rest = {key: value for key, value in found.items() if key not in PARTS}
    return {**rest, **said, "metadata": {**found["metadata"], "labels": labels}}


def _without_users(wanted: Object, found: Object) -> Object:
    if not installation.holds_users(wanted):
        return found
    return {**found, "rules": [rule for rule in found.get("rules") or () if not installation.is_users(rule)]}


def _parts(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in PARTS if document.get(key)}


def _collection(document: Object) -> str:
    return path_of(
        document["apiVersion"], installation.PLURALS[document["kind"]], document["metadata"].get("namespace", "")
    )


def _version(document: Object) -> str:
    return str((document["metadata"].get("annotations") or {}).get(installation.VERSION_ANNOTATION))
