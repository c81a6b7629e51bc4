"""Selectors in access reviews (KEP-4601): what is wrong with them, and what of them cannot be read.

Rules are those of k8s.io/kubernetes/pkg/apis/authorization/validation and pkg/registry/authorization/util.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from vcproxy.core import requirements
from vcproxy.core.status import ApiError

Object = dict[str, Any]
_LENGTH: Final = 63
_WORD: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_SIGNS: Final = (
    "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_KEY: Final = f"must {_SIGNS} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_WORD}')"
_VALUE: Final = (
    f"a valid label must be an empty string or {_SIGNS}"
    f" (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_WORD})?')"
)
_word = re.compile(rf"(?:{_WORD})\Z")
_subdomain = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_IN: Final = ("In", "NotIn")
_EXISTS: Final = ("Exists", "DoesNotExist")


class Problem(NamedTuple):
    """What is wrong with a field: a field.Error."""

    field: str
    reason: str
    message: str


Requirement = Callable[[Object, str], Iterator[Problem]]


def invalid(field: str, value: Any, message: str) -> Problem:
    """`value` is shown as JSON."""
    return Problem(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value, separators=(',', ':'))}: {message}")


def _required(field: str, message: str) -> Problem:
    return Problem(field, "FieldValueRequired", f"Required value: {message}")


def selector_errors(selector: Object, path: str, requirement: Requirement) -> Iterator[Problem]:
    raw, items = selector.get("rawSelector"), selector.get("requirements", ())
    if raw and items:
        yield invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not items:
        yield _required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
    for at, item in enumerate(items):
        yield from requirement(item, f"{path}.requirements[{at}]")


def field_requirement(item: Object, path: str) -> Iterator[Problem]:
    if not item.get("key"):
        yield _required(f"{path}.key", "must be specified")
    yield from _values(item, path)


def label_requirement(item: Object, path: str) -> Iterator[Problem]:
    yield from _values(item, path)
    key = item.get("key", "")
    yield from (invalid(f"{path}.key", key, message) for message in _key_errors(key))
    for at, value in enumerate(item.get("values", ())):
        if len(value) > _LENGTH:
            yield invalid(f"{path}.values[{at}]", value, f"must be no more than {_LENGTH} bytes")
        if value and not _word.match(value):
            yield invalid(f"{path}.values[{at}]", value, _VALUE)


def _values(item: Object, path: str) -> Iterator[Problem]:
    """An operator that is not known is no problem: a newer client may know it."""
    operator, values = item.get("operator"), item.get("values")
    if operator in _IN and not values:
        yield _required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in _EXISTS and values:
        message = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield Problem(f"{path}.values", "FieldValueForbidden", message)


def _key_errors(key: str) -> Iterator[str]:
    prefix, slash, name = key.partition("/")
    if "/" in name:
        yield f"a valid label key {_KEY} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return
    if slash and not _subdomain.match(prefix):
        yield "prefix part must be a DNS subdomain" if prefix else "prefix part must be non-empty"
    name = name if slash else key
    if not name:
        yield "name part must be non-empty"
    elif len(name) > _LENGTH:
        yield f"name part must be no more than {_LENGTH} bytes"
    if not _word.match(name):
        yield f"name part {_KEY}"


def unread_fields(selector: Object) -> bool | None:
    """Whether only a part of a field selector is left out; None where nothing is."""
    items = selector.get("requirements", ())
    return _unread(selector, requirements.parse_fields, [_simple(item) for item in items])


def _simple(item: Object) -> bool:
    """What a field selector in a query could say."""
    return item.get("operator") in _IN and len(item.get("values", ())) == 1


def unread_labels(selector: Object) -> bool | None:
    """The same of a label selector."""
    known = [item.get("operator") in (*_IN, *_EXISTS) for item in selector.get("requirements", ())]
    return _unread(selector, requirements.parse, known)


def _unread(selector: Object, parse: Callable[[str], object], good: list[bool]) -> bool | None:
    if good:
        return None if all(good) else any(good)
    try:
        parse(selector.get("rawSelector", ""))
    except ApiError:
        return False
    return None
