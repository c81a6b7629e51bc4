"""Bodies: bytes to one object and back, strictly.

What two readers could read in two ways is refused (400): duplicate keys, bad UTF-8, more than one document, nesting
without end. Numbers keep their values; the order of keys stays.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import yaml

from vcproxy.core.media import Codec
from vcproxy.core.status import ApiError, bad_request

DEPTH_LIMIT: Final = 200
"""How deep objects and lists may nest. Custom resources of real projects stay below 60."""
ALIAS_LIMIT: Final = 100
"""How many aliases a YAML document may hold."""
NODE_LIMIT: Final = 400_000
"""How many nodes a YAML document may have once its aliases are expanded."""


class Body(msgspec.Struct):
    """A decoded body, and the paths of keys that stood twice in it (`[]` for an item); the last of each pair counts."""

    document: Any
    duplicates: list[tuple[str, ...]]


def decode_json(raw: bytes) -> Body:
    """Raises ApiError 400 for anything that is not one JSON value in UTF-8."""
    repeated: list[tuple[dict[str, Any], str]] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            repeated.append((made, _first_repeated(items)))
        return made

    try:
        text = raw.decode()
        document = json.loads(text, object_pairs_hook=pairs, parse_float=_float, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise bad_request("the body is not UTF-8") from None
    except ValueError as error:
        raise bad_request(f"the body is not valid JSON: {_place(error)}") from None
    check_depth(document)
    if "\\u" in text:
        _check_surrogates(document)
    return Body(document, [_path_of(document, made, key) for made, key in repeated])


def _place(error: ValueError) -> str:
    return f"{error.msg} at offset {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)


def _first_repeated(items: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _too_deep() -> ApiError:
    return bad_request(f"the body nests deeper than {DEPTH_LIMIT} levels")


def check_depth(document: Any) -> None:
    """Raises ApiError 400 if a decoded value nests deeper than DEPTH_LIMIT. Needs no stack of its own."""
    level = [document]
    for _ in range(DEPTH_LIMIT):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise _too_deep()


def _check_surrogates(document: Any) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise bad_request("the body holds a lone surrogate, which is no Unicode text") from None


def _path_of(document: Any, wanted: dict[str, Any], key: str) -> tuple[str, ...]:
    """The path of a key in an object, looked up by identity; made only where a key stood twice."""
    queue: list[tuple[tuple[str, ...], Any]] = [((), document)]
    for at, value in queue:
        if value is wanted:
            return (*at, key)
        if isinstance(value, dict):
            queue.extend(((*at, name), inner) for name, inner in value.items())
        elif isinstance(value, list):
            queue.extend(((*at, "[]"), inner) for inner in value)
    return (key,)


# YAML ----------------------------------------------------------------------------------------------------------------

_integer = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_number = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: Final = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "Null": None,
    "~": None,
    "": None,
}


class _YamlReader:
    """One YAML document, built from parser events with the JSON schema only: no dates, no octals, no yes and no.

    Built by hand since a loader expands aliases before anyone can count them.
    """

    def __init__(self, raw: str) -> None:
        self._events = yaml.parse(raw, Loader=yaml.CSafeLoader)
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliases = 0
        self._nodes = 0
        self.duplicates: list[tuple[str, ...]] = []

    def read(self) -> Any:
        self._next(yaml.StreamStartEvent)
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            raise bad_request("the body is empty")
        document = self._value(next(self._events), 0, ())
        self._next(yaml.DocumentEndEvent)
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise bad_request("the body holds more than one document")
        return document

    def _next(self, kind: type[yaml.Event]) -> None:
        if not isinstance(next(self._events), kind):
            raise bad_request("the body is not valid YAML")

    def _value(self, event: yaml.Event, depth: int, at: tuple[str, ...]) -> Any:
        before = self._nodes
        self._count(1)
        if depth > DEPTH_LIMIT:
            raise _too_deep()
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(depth, at)
        else:
            value = self._mapping(depth, at)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._anchors[str(event.anchor)] = value, self._nodes - before
        return value

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODE_LIMIT:
            raise bad_request("the body has too many nodes")

    def _alias(self, event: yaml.AliasEvent) -> Any:
        self._aliases += 1
        if event.anchor not in self._anchors:
            raise bad_request("the body names an unknown YAML anchor")
        if self._aliases > ALIAS_LIMIT:
            raise bad_request(f"the body has more than {ALIAS_LIMIT} YAML aliases")
        value, size = self._anchors[event.anchor]
        self._count(size)
        return json.loads(json.dumps(value))  # a copy: what is rewritten in one place must not change another

    def _sequence(self, depth: int, at: tuple[str, ...]) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1, (*at, "[]")))
        return items

    def _mapping(self, depth: int, at: tuple[str, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in made:
                self.duplicates.append((*at, key))
            made[key] = self._value(next(self._events), depth + 1, (*at, key))
        return made

    def _key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise bad_request("a key of the body is no text")
        self._count(1)
        return str(event.value)


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = str(event.value)
    if not event.implicit[0] or event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _integer.match(text):
        return int(text)
    return _float(text) if _number.match(text) else text


def decode_yaml(raw: bytes) -> Body:
    """Raises ApiError 400 for anything that is not one YAML document of the JSON schema in UTF-8."""
    try:
        reader = _YamlReader(raw.decode())
        document = reader.read()
    except UnicodeDecodeError:
        raise bad_request("the body is not UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise bad_request(f"the body is not valid YAML{f' at line {mark.line + 1}' if mark else ''}") from None
    except (RecursionError, ValueError):
        raise bad_request("the body is not valid YAML") from None
    return Body(document, reader.duplicates)


def decode_apply(raw: bytes) -> Body:
    """The body of a server-side apply: YAML, and mostly its JSON subset, which is read first since it is quicker."""
    if raw.lstrip()[:1] == b"{":
        try:
            return decode_json(raw)
        except ApiError:
            return decode_yaml(raw)
    return decode_yaml(raw)


DECODERS: Final[dict[Codec, Callable[[bytes], Body]]] = {Codec.JSON: decode_json, Codec.YAML: decode_yaml}


def encode_json(document: Any) -> bytes:
    """JSON of a decoded value; integers of any size."""
    try:
        return msgspec.json.encode(document)
    except (OverflowError, msgspec.MsgspecError):
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


_unlike = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Signs that JSON may hold as they are but YAML 1.1 (5.1, 5.4) reads as line breaks or refuses."""


def encode_apply(document: Any) -> bytes:
    """JSON that a reader of YAML takes for the same: the API server reads a server-side apply as YAML."""
    text = encode_json(document).decode()
    return _unlike.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def encode_yaml(document: Any) -> bytes:
    """YAML with keys in order of the alphabet, as the API server writes it."""
    text: str = yaml.dump(
        document, Dumper=yaml.CSafeDumper, default_flow_style=False, allow_unicode=True, width=2**31 - 1
    )
    return text.encode()
