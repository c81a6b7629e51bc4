"""Patches: rewritten as what they are where that is exact, else applied to the tenant's view by the proxy.

JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), strategic merge patch and server-side apply
(https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/). A patch is rewritten only
if patch-then-up equals up-then-patch. `rewrite_patch` answers None where it does not: the caller then gets the object,
applies the patch to the view with `apply`, and puts the result.
"""

import copy
from enum import Enum
from typing import Any, Final

import msgspec

from vcproxy.core.fields_labels import reserved
from vcproxy.core.lens import Inside
from vcproxy.core.objects import ITEMS, Direction, Node, last_applied_up, rewrite, tree_of
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError, Status, bad_request, forbidden, too_large

OPERATIONS_LIMIT: Final = 10_000
"""Operations in a JSON Patch: the API server's own limit (maxJSONPatchOperations)."""
COPY_LIMIT: Final = 3 * 1024 * 1024
"""Bytes of JSON that the copy operations of one JSON Patch may make together."""


class PatchType(Enum):
    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class _NotExact(Exception):  # noqa: N818 - not an error: the other way is taken
    """The patch cannot be rewritten as what it is."""


def rewrite_patch(patch: Any, kind: PatchType, group: str, name: str, scope: Scope) -> Any:
    """The patch for the host, or None if the view must be patched instead. `group` and `name` are those of the kind.

    Raises ApiError: 400 for a patch of the wrong shape, 403 for reserved labels.
    """
    node = tree_of(group, name, scope.exports)
    try:
        if kind is PatchType.JSON:
            return [_operation(node, one, scope) for one in operations(patch)]
        if not isinstance(patch, dict):
            raise bad_request("the patch must be one object")
        if kind is PatchType.APPLY:
            made = rewrite(node, patch, Direction.UP, scope)
            last_applied_up(node, made, scope)
            return made
        return _merge(node, patch, kind, scope)
    except _NotExact:
        return None


def operations(patch: Any) -> list[dict[str, Any]]:
    """The operations of a JSON Patch. Raises ApiError 400 or 413."""
    if not isinstance(patch, list) or not all(isinstance(one, dict) for one in patch):
        raise bad_request("a JSON patch is a list of operations")
    if len(patch) > OPERATIONS_LIMIT:
        message = f"The allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {len(patch)}"
        raise ApiError(Status(413, "RequestEntityTooLarge", message))
    for one in patch:
        if not isinstance(one.get("op"), str) or not isinstance(one.get("path"), str):
            raise bad_request("each operation of a JSON patch has an op and a path")
    return patch


# JSON Patch ----------------------------------------------------------------------------------------------------------


def _operation(root: Node, one: dict[str, Any], scope: Scope) -> dict[str, Any]:
    node = _locate(root, pointer(one["path"]))
    match one["op"]:
        case "add" | "replace":
            if node is not None and _hides(node):
                raise _NotExact
            return one if node is None else {**one, "value": _value(node, one.get("value"), scope)}
        case "remove":
            if node is not None and _hides(node):
                raise _NotExact
            return one
        case "test":
            if node is not None and not _plain(node):
                raise _NotExact
            return one if node is None else {**one, "value": _value(node, one.get("value"), scope)}
        case "move" | "copy":
            if node is not None or _locate(root, pointer(str(one.get("from", "")))) is not None:
                raise _NotExact
            return one
    raise bad_request(f"unknown operation {one['op']!r} in a JSON patch")


def _value(node: Node, value: Any, scope: Scope) -> Any:
    return rewrite(node, copy.deepcopy(value), Direction.UP, scope)


def pointer(text: str) -> list[str]:
    """The segments of a JSON pointer (RFC 6901). Raises ApiError 400."""
    if text and not text.startswith("/"):
        raise bad_request(f"{text!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _locate(node: Node, segments: list[str]) -> Node | None:
    """The node at a pointer, or None where no rule stands at it or below. Raises _NotExact inside a closed lens."""
    for part in segments:
        if any(lens.inside is not Inside.FIELDS for lens in node.lenses):
            raise _NotExact
        if any(lens.name in ("HIDDEN", "OWNER_LABEL") for lens in node.lenses) and reserved(part):
            raise forbidden(f"{part!r} is reserved: leave it out")
        if any(part in lens.members for lens in node.lenses):
            raise _NotExact
        below = node.children.get(part)
        if below is None and (part == "-" or part.isdigit()):
            below = node.children.get(ITEMS)
        if below is None:
            if any(lens.name == "RESOURCE_KEYS" for lens in node.lenses):
                raise _NotExact
            return None
        node = below
    return node


def _hides(node: Node) -> bool:
    return any(lens.hides for lens in node.lenses) or any(map(_hides, node.children.values()))


def _plain(node: Node) -> bool:
    return all(lens.inside is Inside.NOTHING for lens in node.lenses) and all(map(_plain, node.children.values()))


# Merge patches -------------------------------------------------------------------------------------------------------

_LIST_DIRECTIVES: Final = ("$deleteFromPrimitiveList/", "$setElementOrder/")


def _merge(node: Node, patch: dict[str, Any], kind: PatchType, scope: Scope) -> dict[str, Any]:
    if any(lens.inside is Inside.CLOSED for lens in node.lenses):
        raise _NotExact
    if kind is PatchType.STRATEGIC and ("$patch" in patch or "$retainKeys" in patch) and _hides(node):
        raise _NotExact
    merged = {key: _merge_value(_child(node, key, kind), value, kind, scope) for key, value in patch.items()}
    for lens in reversed(node.lenses):
        merged = lens.up(merged, _partial(scope))
    return merged


def _partial(scope: Scope) -> Scope:
    return msgspec.structs.replace(scope, full=False)


def _child(node: Node, key: str, kind: PatchType) -> Node | None:
    if kind is PatchType.STRATEGIC:
        for directive in _LIST_DIRECTIVES:
            key = key.removeprefix(directive)
    return node.children.get(key)


def _merge_value(node: Node | None, value: Any, kind: PatchType, scope: Scope) -> Any:
    if node is None:
        return value
    if isinstance(value, dict):
        return _merge(node, value, kind, scope)
    if value is None:
        if _hides(node):
            raise _NotExact
        return None
    if _hides(node) and not isinstance(value, list):
        raise _NotExact
    return rewrite(node, value, Direction.UP, _partial(scope))


# Applied to the view -------------------------------------------------------------------------------------------------


def apply(view: dict[str, Any], patch: Any, kind: PatchType) -> dict[str, Any]:
    """The view with a patch applied. Raises ApiError 400 or 422 where the API server would."""
    if kind is PatchType.JSON:
        result = copy.deepcopy(view)
        copied = 0
        for one in operations(patch):
            if one["op"] == "copy":
                copied += len(msgspec.json.encode(_get(result, pointer(str(one.get("from", ""))))))
            if copied > COPY_LIMIT:
                raise too_large(COPY_LIMIT)
            result = _apply_operation(result, one)
    elif kind is PatchType.MERGE:
        result = merge(view, patch)
    else:
        result = strategic_merge(view, patch)
    if not isinstance(result, dict):
        raise bad_request("a patch must leave an object")
    return result


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


_MERGE_KEYS: Final = {"ownerReferences": "uid", "conditions": "type"}
_MERGED_LISTS: Final = frozenset({"finalizers"})


def strategic_merge(target: Any, patch: dict[str, Any]) -> Any:
    """Strategic merge of the few kinds of which vcproxy hides something (Namespace, Event): maps and metadata lists."""
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or () if item not in value]
        elif key == "$retainKeys":
            result = {known: inner for known, inner in result.items() if known in value}
        elif value is None:
            result.pop(key, None)
        elif not key.startswith("$"):
            result[key] = _strategic_value(key, result.get(key), value)
    return result


def _strategic_value(key: str, old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return strategic_merge(old, new)
    if isinstance(new, list) and key in _MERGED_LISTS:
        return [*(old or ()), *(item for item in new if item not in (old or ()))]
    if isinstance(new, list) and key in _MERGE_KEYS:
        return _merge_list(old or [], new, _MERGE_KEYS[key])
    return new


def _merge_list(old: list[Any], new: list[Any], by: str) -> list[Any]:
    result = {item.get(by): item for item in old if isinstance(item, dict)}
    for item in new:
        if not isinstance(item, dict):
            raise bad_request(f"the items of the list are objects with a {by}")
        if item.get("$patch") == "delete":
            result.pop(item.get(by), None)
        else:
            result[item.get(by)] = strategic_merge(result.get(item.get(by)), item)
    return list(result.values())


def _failed() -> ApiError:
    message = "the server rejected our request due to an error in our request"
    return ApiError(Status(422, "Invalid", message))


def _apply_operation(document: Any, one: dict[str, Any]) -> Any:
    path = pointer(one["path"])
    match one["op"]:
        case "add" | "replace":
            return _put(document, path, copy.deepcopy(one.get("value")), one)
        case "remove":
            _take(document, path, one)
            return document
        case "test":
            if _get(document, path) != one.get("value"):
                raise _failed()
            return document
        case "move":
            return _put(document, path, _take(document, pointer(str(one.get("from", ""))), one), one)
        case "copy":
            return _put(document, path, copy.deepcopy(_get(document, pointer(str(one.get("from", ""))))), one)
    raise bad_request(f"unknown operation {one['op']!r} in a JSON patch")


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        try:
            document = document[_index(document, part)]
        except (KeyError, IndexError, TypeError, ValueError):
            raise _failed() from None
    return document


def _index(container: Any, part: str) -> Any:
    if isinstance(container, list):
        if not part.isdigit():
            raise ValueError(part)
        return int(part)
    if isinstance(container, dict):
        return part
    raise TypeError(part)


def _put(document: Any, path: list[str], value: Any, one: dict[str, Any]) -> Any:
    if not path:
        return value
    container = _get(document, path[:-1])
    try:
        if isinstance(container, list) and one["op"] != "replace":
            at = len(container) if path[-1] == "-" else int(_index(container, path[-1]))
            if at > len(container):
                raise IndexError(at)
            container.insert(at, value)
        elif one["op"] == "replace" and isinstance(container, dict) and path[-1] not in container:
            raise KeyError(path[-1])
        else:
            container[_index(container, path[-1])] = value
    except (KeyError, IndexError, TypeError, ValueError):
        raise _failed() from None
    return document


def _take(document: Any, path: list[str], one: dict[str, Any]) -> Any:
    if not path:
        raise _failed()
    container = _get(document, path[:-1])
    try:
        return container.pop(_index(container, path[-1]))
    except (KeyError, IndexError, TypeError, ValueError):
        raise _failed() from None
