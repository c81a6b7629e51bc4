"""The forms of reviews: read as the API server's decoder reads them, with its words for what does not fit.

Shapes are those of k8s.io/api/authorization/v1 and authentication/v1 (types.go); fields that these do not have are left
out and told of, as fieldValidation asks (KEP-2885). Empty texts and lists are left out too: Go's `omitempty`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from vcproxy.core.status import bad_request

Object = dict[str, Any]
TEXT: Final = "string"
TEXTS: Final = "[]string"


class Struct(NamedTuple):
    """A Go struct: its name, and its fields with what each holds. `package` is the alias in which Go names it."""

    name: str
    fields: Mapping[str, Any]
    package: str = "v1."


class Many(NamedTuple):
    """A list of structs."""

    item: Struct


class Named(NamedTuple):
    """A map from text to lists of texts; `item` is the name of such a list."""

    item: str


class Form(NamedTuple):
    """A review as it is understood. `unknown` are the paths of what was not."""

    metadata: Object
    spec: Object
    unknown: tuple[str, ...]


def _selector(name: str, requirement: str) -> Struct:
    item = Struct(requirement, {"key": TEXT, "operator": TEXT, "values": TEXTS})
    return Struct(name, {"rawSelector": TEXT, "requirements": Many(item)})


_RESOURCE: Final = Struct(
    "ResourceAttributes",
    {
        **dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), TEXT),
        "fieldSelector": _selector("FieldSelectorAttributes", "FieldSelectorRequirement"),
        "labelSelector": _selector("LabelSelectorAttributes", "LabelSelectorRequirement"),
    },
)
_PATH: Final = Struct("NonResourceAttributes", {"path": TEXT, "verb": TEXT})
_SELF: Final = {"resourceAttributes": _RESOURCE, "nonResourceAttributes": _PATH}
_SUBJECT: Final = Struct(
    "SubjectAccessReviewSpec", {**_SELF, "user": TEXT, "groups": TEXTS, "extra": Named("v1.ExtraValue"), "uid": TEXT}
)
_SPECS: Final[Mapping[str, Struct]] = MappingProxyType(
    {
        "SelfSubjectAccessReview": Struct("SelfSubjectAccessReviewSpec", _SELF),
        "SubjectAccessReview": _SUBJECT,
        "LocalSubjectAccessReview": _SUBJECT,
        "SelfSubjectRulesReview": Struct("SelfSubjectRulesReviewSpec", {"namespace": TEXT}),
        "TokenReview": Struct("TokenReviewSpec", {"token": TEXT, "audiences": TEXTS}),
        "SelfSubjectReview": Struct("SelfSubjectReviewSpec", {}),
    }
)
_METADATA: Final = frozenset(
    {
        "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
        "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
        "managedFields",
    }
)  # fmt: skip
_JSON: Final = ((bool, "bool"), (str, "string"), ((int, float), "number"), (list, "array"), (dict, "object"))


def read(kind: str, version: str, body: Any) -> Form:
    """The review that a decoded body is. Raises ApiError 400."""
    if not isinstance(body, dict) or body.get("kind", kind) != kind or body.get("apiVersion", version) != version:
        raise bad_request(f"the body must be one {kind} of {version}")
    unknown: list[str] = []
    try:
        metadata = _object(body.get("metadata"), kind, "metadata", "v1.ObjectMeta")
        unknown += [f"metadata.{key}" for key in metadata if key not in _METADATA]
        spec = _struct(body.get("spec"), _SPECS[kind], kind, "spec", unknown)
    except TypeError as error:
        raise bad_request(f"{_cannot(kind, version)}json: cannot unmarshal {error}") from None
    known = {"kind", "apiVersion", "metadata", "status", *(("spec",) if _SPECS[kind].fields else ())}
    unknown = [*(key for key in body if key not in known), *unknown]
    shown = {key: value for key, value in metadata.items() if key in _METADATA and value}
    return Form(shown, spec or {}, tuple(unknown))


def warnings(kind: str, version: str, form: Form, asked: str | None) -> tuple[tuple[str, str], ...]:
    """Warning headers for what is unknown; `asked` is fieldValidation. Raises ApiError 400 where it is Strict."""
    if not form.unknown or asked == "Ignore":
        return ()
    if asked == "Strict":
        said = ", ".join(f'unknown field "{path}"' for path in form.unknown)
        raise bad_request(f"{_cannot(kind, version)}strict decoding error: {said}")
    shown = [path for path in form.unknown if path.isascii() and path.isprintable() and not {'"', "\\"} & set(path)]
    return tuple(("Warning", f'299 - "unknown field \\"{path[:200]}\\""') for path in shown[:10])


def _cannot(kind: str, version: str) -> str:
    return f'{kind} in version "{version.rpartition("/")[2]}" cannot be handled as a {kind}: '


# Each reads one value that stands at `path` in a field of the struct `owner`; raises TypeError with Go's words -------


def _value(value: Any, form: Any, owner: str, path: str, unknown: list[str]) -> Any:
    match form:
        case Struct():
            return _struct(value, form, owner, path, unknown)
        case Many(item=item):
            items = _list(value, owner, path, f"[]{item.package}{item.name}")
            return [_struct(one, item, owner, f"{path}[{at}]", unknown) or {} for at, one in enumerate(items)]
        case Named(item=item):
            found = _object(value, owner, path, f"map[string]{item}")
            return {key: _texts(one, owner, path, item) for key, one in found.items()}
        case "[]string":
            return _texts(value, owner, path, TEXTS)
    return _text(value, owner, path)


def _struct(value: Any, form: Struct, owner: str, path: str, unknown: list[str]) -> Object | None:
    """None where there is none: an empty one is something else."""
    if value is None:
        return None
    given = _object(value, owner, path, f"{form.package}{form.name}")
    unknown += [f"{path}.{key}" for key in given if key not in form.fields]
    found = {
        key: _value(given.get(key), inner, form.name, f"{path}.{key}", unknown) for key, inner in form.fields.items()
    }
    return {key: one for key, one in found.items() if one or (one is not None and isinstance(form.fields[key], Struct))}


def _object(value: Any, owner: str, path: str, wanted: str) -> Object:
    if value is not None and not isinstance(value, dict):
        raise _unfit(value, owner, path, wanted)
    return value or {}


def _list(value: Any, owner: str, path: str, wanted: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise _unfit(value, owner, path, wanted)
    return value or []


def _texts(value: Any, owner: str, path: str, wanted: str) -> list[str]:
    return [_text(one, owner, path) for one in _list(value, owner, path, wanted)]


def _text(value: Any, owner: str, path: str) -> str:
    if value is not None and not isinstance(value, str):
        raise _unfit(value, owner, path, TEXT)
    return value or ""


def _unfit(value: Any, owner: str, path: str, wanted: str) -> TypeError:
    found = next(name for types, name in _JSON if isinstance(value, types))
    return TypeError(f"{found} into Go struct field {owner}.{path} of type {wanted}")
