"""From the claims of a verified token to a user: the `jwt` part of Kubernetes' AuthenticationConfiguration.

The form, its names and its meaning are those of apiserver.config.k8s.io/v1 (kubernetes.io: Authentication, "Using
Authentication Configuration"). Beyond Kubernetes, users and groups of the prefixes `system:` and `vcproxy:` are refused
unless the mapping's own prefix asks for `system:`, and the extra `vcproxy.io/tenant` names the tenants of the user.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from vcproxy.access.cel import Expression
from vcproxy.core.caller import NO_EXTRA

TENANT_EXTRA: Final = "vcproxy.io/tenant"
NAME_LIMIT: Final = 1024
"""Bytes of a user's name, of a group, of the uid, and of a value of extra."""
GROUP_LIMIT: Final = 1024
USER_LIMIT: Final = 65536
"""Bytes of all names of one user."""
_MAPPINGS: Final = frozenset({"username", "groups", "uid", "extra"})
_EXTRA: Final = frozenset({"key", "valueExpression"})
_CLAIM_RULE: Final = frozenset({"claim", "requiredValue", "expression", "message"})
_USER_RULE: Final = frozenset({"expression", "message"})

Claims = Mapping[str, Any]
Reading = Callable[[Claims], Any]


class RefusedError(ValueError):
    """Claims that make no user. The message is for the log; clients hear a plain 401."""


class Mapped(msgspec.Struct, frozen=True):
    """A user made of claims."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = NO_EXTRA


class ClaimMapping(msgspec.Struct, frozen=True):
    """Claim mappings and rules, compiled."""

    user: Reading
    groups: Reading
    uid: Reading
    extra: Mapping[str, Reading]
    claim_rules: tuple[Callable[[Claims], bool], ...]
    user_rules: tuple[Callable[[Claims], bool], ...]
    reserved: frozenset[str]
    """Of `users` and `groups`: whether the configuration gives them the prefix `system:`."""

    def apply(self, claims: Claims) -> Mapped:
        """The user. Raises RefusedError."""
        try:
            return self._applied(claims)
        except RefusedError:
            raise
        except (ValueError, TypeError, KeyError) as error:
            raise RefusedError(str(error)) from error

    def _applied(self, claims: Claims) -> Mapped:
        if not all(rule(claims) for rule in self.claim_rules):
            raise RefusedError("a claim validation rule does not hold")
        extra = {key: _texts(read(claims)) for key, read in self.extra.items()}
        mapped = Mapped(
            _name(self.user(claims)),
            _texts(self.groups(claims)),
            _text(self.uid(claims)),
            {key: values for key, values in extra.items() if values},
        )
        check_size(mapped)
        self._refuse_reserved(mapped)
        shown: dict[str, Any] = {"username": mapped.user, "groups": list(mapped.groups), "uid": mapped.uid}
        shown["extra"] = {key: list(values) for key, values in mapped.extra.items()}
        if not all(rule(shown) for rule in self.user_rules):
            raise RefusedError("a user validation rule does not hold")
        return mapped

    def _refuse_reserved(self, mapped: Mapped) -> None:
        if mapped.user.startswith("vcproxy:") or any(group.startswith("vcproxy:") for group in mapped.groups):
            raise RefusedError("the prefix vcproxy: is reserved")
        users = "users" not in self.reserved and mapped.user.startswith("system:")
        if users or ("groups" not in self.reserved and any(group.startswith("system:") for group in mapped.groups)):
            raise RefusedError("the prefix system: is reserved")


def check_size(mapped: Mapped) -> None:
    """Nothing if a user may be kept. Raises RefusedError for names that are too long, too many, or no Unicode."""
    extra = [value for values in mapped.extra.values() for value in values]
    try:
        sizes = [len(name.encode()) for name in (mapped.user, *mapped.groups, mapped.uid, *mapped.extra, *extra)]
    except UnicodeEncodeError:
        raise RefusedError("a name is no Unicode text") from None
    if max(sizes) > NAME_LIMIT or max(len(mapped.groups), len(extra)) > GROUP_LIMIT or sum(sizes) > USER_LIMIT:
        raise RefusedError("the names of the user are too long, or too many")


def compiled(entry: Mapping[str, Any], problems: list[str]) -> ClaimMapping | None:
    """The mapping of one entry of `jwt`; None where something is wrong, which `problems` then tells."""
    before = len(problems)
    mappings = _object(entry, "claimMappings", problems)
    _refuse_unknown(mappings, _MAPPINGS, "claimMappings", problems)
    user = _prefixed(mappings, "username", problems, required=True)
    groups = _prefixed(mappings, "groups", problems)
    uid = _prefixed(mappings, "uid", problems, prefix=False)
    made = ClaimMapping(
        user or _nothing,
        groups or _nothing,
        uid or _nothing,
        _extras(mappings, problems),
        tuple(_claim_rules(entry, problems)),
        tuple(_user_rules(entry, problems)),
        frozenset(
            plural
            for plural, name in (("users", "username"), ("groups", "groups"))
            if str((mappings.get(name) or {}).get("prefix") or "").startswith("system:")
        ),
    )
    return made if len(problems) == before else None


def _refuse_unknown(entry: Mapping[str, Any], known: frozenset[str], where: str, problems: list[str]) -> None:
    """A word that nobody reads may be a rule that somebody counts on."""
    for name in sorted(map(str, entry.keys() - known)):
        near = difflib.get_close_matches(name, known, 1)
        problems.append(f"{where}.{name}: unknown" + (f"; did you mean {near[0]}?" if near else ""))


def _nothing(claims: Claims) -> Any:
    return None


def _object(entry: Mapping[str, Any], name: str, problems: list[str]) -> Mapping[str, Any]:
    found = entry.get(name, {})
    if not isinstance(found, dict):
        problems.append(f"{name}: is an object")
        return {}
    return found


def _prefixed(
    mappings: Mapping[str, Any], name: str, problems: list[str], *, required: bool = False, prefix: bool = True
) -> Reading | None:
    """A PrefixedClaimOrExpression: a claim with its prefix, or an expression."""
    where = f"claimMappings.{name}"
    entry = mappings.get(name)
    if entry is None and not required:
        return None
    known = {"claim", "expression"} | ({"prefix"} if prefix else set())
    if not isinstance(entry, dict) or entry.keys() - known or ("claim" in entry) == ("expression" in entry):
        problems.append(f"{where}: has either claim{' with prefix' if prefix else ''} or expression")
        return None
    if "expression" in entry:
        return _expression(entry["expression"], where, problems, "STRING", *(["LIST"] if name == "groups" else []))
    given = entry.get("prefix", None if prefix else "")
    if not isinstance(entry["claim"], str) or not entry["claim"] or not isinstance(given, str):
        problems.append(f"{where}: needs claim and, even if empty, prefix" if prefix else f"{where}: needs claim")
        return None
    return _claim(entry["claim"], given, verified=name == "username" and entry["claim"] == "email")


def _claim(name: str, prefix: str, *, verified: bool) -> Reading:
    def read(claims: Claims) -> Any:
        if verified and claims.get("email_verified", True) is not True:
            raise RefusedError("the e-mail address is not verified")
        value = claims.get(name)
        if isinstance(value, list):
            return [prefix + _name(one) for one in value]
        return prefix + _name(value) if value is not None and value != "" else None

    return read


def _expression(text: Any, where: str, problems: list[str], *kinds: str) -> Reading | None:
    try:
        expression = Expression(str(text), "claims", *kinds)
    except ValueError as error:
        problems.append(f"{where}.expression: {error}")
        return None
    if where.endswith("username") and "claims.email" in expression.text and "email_verified" not in expression.text:
        problems.append(f"{where}.expression: uses claims.email and must look at claims.email_verified too")
    return expression


def _extras(mappings: Mapping[str, Any], problems: list[str]) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    for index, entry in enumerate(_list(mappings, "extra", problems)):
        where = f"claimMappings.extra[{index}]"
        _refuse_unknown(entry, _EXTRA, where, problems)
        key = entry.get("key")
        if not isinstance(key, str) or "/" not in key or key != key.lower() or key in found:
            problems.append(f"{where}.key: is a name such as example.com/team, in lower case, and stands once")
            continue
        read = _expression(entry.get("valueExpression"), f"{where}.valueExpression", problems, "STRING", "LIST")
        if read is not None:
            found[key] = read
    return found


def _claim_rules(entry: Mapping[str, Any], problems: list[str]) -> list[Callable[[Claims], bool]]:
    found: list[Callable[[Claims], bool]] = []
    for index, rule in enumerate(_list(entry, "claimValidationRules", problems)):
        where = f"claimValidationRules[{index}]"
        _refuse_unknown(rule, _CLAIM_RULE, where, problems)
        if ("claim" in rule) == ("expression" in rule):
            problems.append(f"{where}: has either claim with requiredValue or expression")
        elif "claim" in rule:
            found.append(_required(str(rule["claim"]), str(rule.get("requiredValue", ""))))
        else:
            found += _rule(rule, "claims", where, problems)
    return found


def _user_rules(entry: Mapping[str, Any], problems: list[str]) -> list[Callable[[Claims], bool]]:
    found: list[Callable[[Claims], bool]] = []
    for index, rule in enumerate(_list(entry, "userValidationRules", problems)):
        where = f"userValidationRules[{index}]"
        _refuse_unknown(rule, _USER_RULE, where, problems)
        found += _rule(rule, "user", where, problems)
    return found


def _required(name: str, value: str) -> Callable[[Claims], bool]:
    return lambda claims: claims.get(name) == value


def _rule(rule: Mapping[str, Any], variable: str, where: str, problems: list[str]) -> list[Callable[[Claims], bool]]:
    try:
        expression = Expression(str(rule.get("expression", "")), variable, "BOOL")
    except ValueError as error:
        problems.append(f"{where}.expression: {error}")
        return []
    return [lambda value: expression(value) is True]


def _list(entry: Mapping[str, Any], name: str, problems: list[str]) -> list[dict[str, Any]]:
    found = entry.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found) or len(found) > 64:
        problems.append(f"{name}: is a list of 64 objects at most")
        return []
    return found


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > NAME_LIMIT:
        raise RefusedError("a name is missing, too long, or no text")
    return value


def _text(value: Any) -> str:
    return "" if value is None or value == "" else _name(value)


def _texts(value: Any) -> tuple[str, ...]:
    """One text or a list of them; nothing and empty ones are left out, as Kubernetes does."""
    values = value if isinstance(value, list) else [value]
    if len(values) > GROUP_LIMIT:
        raise RefusedError(f"more than {GROUP_LIMIT} values")
    return tuple(_name(one) for one in values if one is not None and one != "")
