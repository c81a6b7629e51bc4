"""A host in memory: enough of an API server for registry and controller, and a log of what was asked of it."""

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.status import ApiError

Object = dict[str, Any]
Key = tuple[str, str, str, str]
_path = re.compile(
    r"^(?P<root>/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<space>[^/]+)(?=/))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<part>[^/]+))?)?$"
)


class Answer:
    """A HostResponse of fixed chunks; an exception among them is raised, None waits for ever."""

    def __init__(self, status: int, chunks: list[bytes | BaseException | None]) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.closed = False
        self._chunks = chunks

    def getall(self, name: str) -> list[str]:
        return []

    async def read(self, limit: int) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if chunk is None:
                await asyncio.Event().wait()
            elif isinstance(chunk, BaseException):
                raise chunk
            else:
                yield chunk

    async def close(self) -> None:
        self.closed = True


class Watch(Answer):
    """A HostResponse that streams events until it is closed."""

    def __init__(self, matches: Any) -> None:
        super().__init__(200, [])
        self.matches = matches
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self.queue.get()) is not None:
            yield chunk


class Scripted:
    """An Upstream that gives prepared answers in order and then waits for ever."""

    def __init__(self, *script: Answer | BaseException) -> None:
        self.script = list(script)
        self.targets: list[str] = []

    async def send(self, request: HostRequest) -> HostResponse:
        self.targets.append(request.target)
        if not self.script:
            await asyncio.Event().wait()
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    async def close(self) -> None:
        pass


def json_answer(code: int, document: Any) -> Answer:
    return Answer(code, [msgspec.json.encode(document)])


def refused(code: int, reason: str, message: str = "") -> Answer:
    return json_answer(code, {"kind": "Status", "code": code, "reason": reason, "message": message or reason})


class FakeHost:
    """Objects by (root, resource, namespace, name). `log` has a line for each request but lists and watches."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.log: list[str] = []
        self.lists: list[str] = []
        self.fail: dict[str, list[Answer | ApiError]] = {}
        self.absent: set[str] = set()
        self._version = 100
        self._watches: list[Watch] = []
        self._history: list[tuple[int, Key, Object | None, Object | None]] = []

    # -- for tests

    def put(self, root: str, resource: str, document: Object) -> Object:
        """Store an object as it is, as some other client of the host would."""
        metadata = document["metadata"]
        key = root, resource, metadata.get("namespace", ""), metadata["name"]
        return self._store(key, document)

    def find(self, resource: str, name: str, space: str = "") -> Object | None:
        for (_, kind, place, called), document in self.objects.items():
            if (kind, place, called) == (resource, space, name):
                return document
        return None

    def names(self, resource: str) -> list[str]:
        found = [(space, name) for _, kind, space, name in self.objects if kind == resource]
        return sorted(f"{space}/{name}" if space else name for space, name in found)

    def remove(self, resource: str, name: str, space: str = "") -> None:
        for key in [key for key in self.objects if key[1:] == (resource, space, name)]:
            self._erase(key)

    def end_watches(self) -> None:
        for watch in self._watches:
            watch.queue.put_nowait(None)
        self._watches.clear()

    def end_namespaces(self) -> list[str]:
        """What the host's namespace controller does in one round; the namespaces that are still held."""
        held = []
        spaces = [name for _, kind, _, name in self.objects if kind == "namespaces"]
        for name in spaces:
            document = self.find("namespaces", name)
            if document is None or not document["metadata"].get("deletionTimestamp"):
                continue
            for key in [key for key in self.objects if key[2] == name]:
                self._delete(key, "")
            if any(key[2] == name for key in self.objects):
                held.append(name)
            else:
                self.remove("namespaces", name)
        return held

    # -- the Upstream

    async def close(self) -> None:
        pass

    async def send(self, request: HostRequest) -> HostResponse:
        await asyncio.sleep(0)
        parts = urlsplit(request.target)
        query = dict(parse_qsl(parts.query))
        line = f"{request.method} {unquote(parts.path)}"
        if self.fail.get(line):
            step = self.fail[line].pop(0)
            if isinstance(step, ApiError):
                raise step
            return step
        match = _path.match(unquote(parts.path))
        assert match is not None, request.target
        root, space, resource, name, part = match.group("root", "space", "resource", "name", "part")
        if resource in self.absent:
            return refused(404, "NotFound")
        key = root, resource, space or "", name or ""
        body = msgspec.json.decode(request.body) if request.body else {}
        if not name and request.method == "GET":
            return self._list(key, query)
        self.log.append(line)
        return self._verb(request, key, part or "", body)

    def _verb(self, request: HostRequest, key: Key, part: str, body: Object) -> Answer:
        found = self.objects.get(key)
        match request.method:
            case "POST":
                return self._create((*key[:3], body["metadata"]["name"]), body)
            case "PATCH" if "apply-patch" in dict(request.headers)["Content-Type"]:
                return self._create(key, body) if found is None else self._patch(key, found, body, part)
            case _ if found is None:
                return refused(404, "NotFound")
            case "GET":
                return json_answer(200, found)
            case "PUT":
                if body["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
                    return refused(409, "Conflict")
                return json_answer(200, self._store(key, body))
            case "PATCH":
                return self._patch(key, found, body, part)
            case _:
                return self._delete(key, body.get("preconditions", {}).get("uid", ""))

    def _create(self, key: Key, body: Object) -> Answer:
        if key in self.objects:
            return refused(409, "AlreadyExists")
        space = self.find("namespaces", key[2]) if key[2] else None
        if key[2] and space is None and key[2] != "vcproxy-system":
            return refused(404, "NotFound")
        if space is not None and space["metadata"].get("deletionTimestamp"):
            return refused(403, "Forbidden", "unable to create new content: it is being terminated")
        return json_answer(201, self._store(key, body))

    def _patch(self, key: Key, found: Object, patch: Object, part: str) -> Answer:
        metadata = patch.get("metadata", {})
        for field in ("uid", "resourceVersion"):
            if metadata.get(field, found["metadata"][field]) != found["metadata"][field]:
                return refused(409, "Conflict")
        changed = _merged(found, patch)
        if part != "status" and "status" in found:
            changed["status"] = found["status"]
        if changed == found:
            return json_answer(200, found)
        stored = self._store(key, changed)
        ended = stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers")
        if ended and key[1] != "namespaces":
            self._erase(key)
        return json_answer(200, stored)

    def _delete(self, key: Key, uid: str) -> Answer:
        found = self.objects[key]
        if uid and uid != found["metadata"]["uid"]:
            return refused(409, "Conflict")
        if found["metadata"].get("finalizers") or key[1] == "namespaces":
            if not found["metadata"].get("deletionTimestamp"):
                self._store(key, _merged(found, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))
        else:
            self._erase(key)
        return json_answer(200, {"kind": "Status", "status": "Success"})

    def _list(self, key: Key, query: Mapping[str, str]) -> Answer:
        def matches(other: Key, document: Object) -> bool:
            in_place = other[:2] == key[:2] and key[2] in ("", other[2])
            return in_place and _selected(document, query)

        if query.get("watch"):
            watch = Watch(matches)
            self._watches.append(watch)
            for version, changed, before, after in self._history:
                if version > int(query["resourceVersion"]):
                    _tell(watch, changed, before, after)
            return watch
        self.lists.append(key[1])
        items = [document for other, document in self.objects.items() if matches(other, document)]
        return json_answer(200, {"kind": "List", "metadata": {"resourceVersion": str(self._version)}, "items": items})

    def _store(self, key: Key, document: Object) -> Object:
        before = self.objects.get(key)
        stored = copy.deepcopy(document)
        self._version += 1
        metadata = stored["metadata"]
        metadata["resourceVersion"] = str(self._version)
        metadata["uid"] = before["metadata"]["uid"] if before else f"uid-{self._version}"
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        if key[2]:
            metadata["namespace"] = key[2]
        if key[1] == "tenants" and before is None:
            metadata.setdefault("generation", 1)
        self.objects[key] = stored
        self._tell(key, before, stored)
        return stored

    def _erase(self, key: Key) -> None:
        before = self.objects.pop(key)
        self._version += 1
        self._tell(key, before, None)

    def _tell(self, key: Key, before: Object | None, after: Object | None) -> None:
        self._history.append((self._version, key, before, after))
        for watch in self._watches:
            _tell(watch, key, before, after)


def _tell(watch: Watch, key: Key, before: Object | None, after: Object | None) -> None:
    was = before is not None and watch.matches(key, before)
    is_now = after is not None and watch.matches(key, after)
    if was or is_now:
        kind = "MODIFIED" if was and is_now else "ADDED" if is_now else "DELETED"
        event = {"type": kind, "object": after if after is not None else before}
        watch.queue.put_nowait(msgspec.json.encode(event) + b"\n")


def _selected(document: Object, query: Mapping[str, str]) -> bool:
    metadata = document["metadata"]
    label, _, value = query.get("labelSelector", "").partition("=")
    labels = metadata.get("labels") or {}
    if label.startswith("!"):
        return label[1:] not in labels
    if label and (label not in labels or (value and labels[label] != value)):
        return False
    wanted = query.get("fieldSelector", "").partition("=")[2]
    return not wanted or metadata["name"] == wanted


def _merged(found: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(found, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = {**found}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(found.get(key), value)
    return merged


async def settle(turns: int = 50) -> None:
    """Let everything that is ready run."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until a condition holds; TimeoutError if it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition may be anything
            await asyncio.sleep(0.001)
