"""Signatures of tokens that others issue: by the public keys of an OIDC issuer, the host among them (RFC 7515)."""

from typing import Final

import jwt

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
"""Those of the API server's own OIDC authenticator; none is symmetric."""

_jws = jwt.PyJWS(algorithms=list(ALGORITHMS))


def signed(token: str, key: jwt.PyJWK, algorithm: str) -> bool:
    """Whether this key signed the token. Times and audiences are for the caller to check."""
    try:
        _jws.decode_complete(token, key.key, [algorithm])
    except (jwt.PyJWTError, TypeError, ValueError):
        return False
    return True
