"""An OIDC issuer in one object: keys made at run time, tokens, and the answers of its two addresses."""

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from vcproxy.access.fetching import UnreachableError

URL = "https://issuer.example.com"
NOW = 1_700_000_000.0
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(65537, 2048)


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    made = (RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "use": "sig", **more}


class Provider:
    """Counts what is asked of it."""

    def __init__(self, url: str = URL) -> None:
        self.url = url
        self.keys: Any = [public(RSA, "rsa"), public(EC, "ec")]
        self.asked: list[str] = []
        self.down = False
        self.name = url

    async def ask(self, url: str) -> Any:
        self.asked.append(url)
        if self.down:
            raise UnreachableError("down")
        if url.endswith("/.well-known/openid-configuration"):
            return {"issuer": self.name, "jwks_uri": f"{self.url}/jwks"}
        return {"keys": self.keys}

    def token(self, key: Any = RSA, kid: str | None = "rsa", algorithm: str = "RS256", **claims: Any) -> str:
        times = {"iat": int(NOW), "exp": int(NOW) + 600}
        given = {"iss": self.url, "aud": "vcproxy", "sub": "ann", "groups": ["devs"], **times, **claims}
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode({k: v for k, v in given.items() if v is not None}, key, algorithm, headers)


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token made by hand."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def entry(url: str = URL, **more: Any) -> dict[str, Any]:
    """An entry of `jwt`."""
    mappings = {"username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": "groups", "prefix": ""}}
    return {"issuer": {"url": url, "audiences": ["vcproxy"]}, "claimMappings": mappings, **more}
