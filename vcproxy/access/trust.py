"""Which OIDC issuers are trusted: the `jwt` list of Kubernetes' AuthenticationConfiguration, read and compiled."""

import ssl
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from vcproxy.access import mapping
from vcproxy.access.mapping import ClaimMapping

API_VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
KIND: Final = "AuthenticationConfiguration"
ISSUER_LIMIT: Final = 8
"""Issuers of one tenant."""
SHARED_LIMIT: Final = 64
"""Issuers of all tenants together, in the file (Kubernetes: 64)."""
_ISSUER_KEYS: Final = {"url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy"}
_ENTRY_KEYS: Final = {"issuer", "claimMappings", "claimValidationRules", "userValidationRules"}


class TrustError(ValueError):
    """Everything that is wrong with a list of issuers, one text each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Issuer:
    """One issuer. Two are equal if they are written alike."""

    def __init__(self, entry: Mapping[str, Any], compiled: ClaimMapping) -> None:
        issuer = entry["issuer"]
        self.url: str = issuer["url"]
        self.discovery: str = issuer.get("discoveryURL") or f"{self.url.rstrip('/')}/.well-known/openid-configuration"
        self.ca: str = issuer.get("certificateAuthority") or ""
        self.audiences = frozenset[str](issuer["audiences"])
        self.mapping = compiled
        self._written = yaml.safe_dump(dict(entry))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Issuer) and self._written == other._written

    def __hash__(self) -> int:
        return hash(self._written)


def load(path: Path) -> list[Issuer]:
    """The issuers of a file. Raises TrustError, for a file that cannot be read too."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise TrustError([f"{path}: {' '.join(str(error).split())}"]) from error
    if not isinstance(document, dict) or document.get("kind") != KIND or document.get("apiVersion") not in API_VERSIONS:
        raise TrustError([f"{path}: must be one {KIND} of {API_VERSIONS[0]}"])
    unknown = document.keys() - {"apiVersion", "kind", "jwt"}
    if unknown:
        raise TrustError([f"{path}: {', '.join(sorted(unknown))}: is not read here"])
    return parse(document.get("jwt") or [], SHARED_LIMIT)


def parse(entries: Any, limit: int = ISSUER_LIMIT) -> list[Issuer]:
    """The issuers of a `jwt` list. Raises TrustError."""
    found, problems = sound(entries, limit)
    if problems:
        raise TrustError(problems)
    return found


def sound(entries: Any, limit: int = ISSUER_LIMIT) -> tuple[list[Issuer], list[str]]:
    """The issuers of a `jwt` list in whom nothing is wrong, and what is wrong with the others."""
    if not isinstance(entries, list) or len(entries) > limit:
        return [], [f"jwt: is a list of {limit} issuers at most"]
    urls = Counter(map(_url, entries))
    problems: list[str] = []
    found = []
    for index, entry in enumerate(entries):
        own: list[str] = []
        compiled = _entry(entry, own)
        if urls[_url(entry)] > 1:
            own.append(f"issuer.url: {_url(entry)} stands more than once: put all its audiences into one entry")
        problems += [f"jwt[{index}].{text}" for text in own]
        if compiled is not None and not own:
            found.append(Issuer(entry, compiled))
    return found, problems


def _url(entry: Any) -> str:
    """The issuer's URL, or what makes an entry without one differ from all others."""
    issuer = entry.get("issuer") if isinstance(entry, dict) else None
    url = issuer.get("url") if isinstance(issuer, dict) else None
    return url if isinstance(url, str) else f"entry {id(entry)}"


def _entry(entry: Any, problems: list[str]) -> ClaimMapping | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("issuer"), dict):
        problems.append("issuer: is missing")
        return None
    issuer = entry["issuer"]
    problems += [f"{name}: unknown" for name in sorted(map(str, entry.keys() - _ENTRY_KEYS))]
    problems += [f"issuer.{name}: unknown" for name in sorted(map(str, issuer.keys() - _ISSUER_KEYS))]
    for name in ("url", "discoveryURL"):
        if name == "url" or name in issuer:
            _check_url(issuer.get(name), f"issuer.{name}", problems)
    if issuer.get("discoveryURL") and issuer.get("discoveryURL") == issuer.get("url"):
        problems.append("issuer.discoveryURL: must be another than url")
    _check_audiences(issuer, problems)
    _check_ca(issuer.get("certificateAuthority"), problems)
    return mapping.compiled(entry, problems)


def _check_url(value: Any, where: str, problems: list[str]) -> None:
    parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        problems.append(f"{where}: is an https URL without user, query and fragment")


def _check_audiences(issuer: Mapping[str, Any], problems: list[str]) -> None:
    audiences = issuer.get("audiences")
    if not isinstance(audiences, list) or not audiences or not all(isinstance(one, str) and one for one in audiences):
        problems.append("issuer.audiences: is a list of at least one text")
    elif issuer.get("audienceMatchPolicy", "") not in (("MatchAny",) if len(audiences) > 1 else ("", "MatchAny")):
        problems.append("issuer.audienceMatchPolicy: must be MatchAny, with several audiences at least")


def _check_ca(value: Any, problems: list[str]) -> None:
    if not value:
        return
    try:
        ssl.create_default_context(cadata=str(value))
    except (ssl.SSLError, ValueError):
        problems.append("issuer.certificateAuthority: is a PEM text of certificates")
