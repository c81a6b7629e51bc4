"""The control plane's certificates, service-account keys and kubeconfigs, made anew for every run.

Names and organisations are those that Kubernetes' bootstrap RBAC knows (kubernetes.io, "PKI certificates and
requirements"). Nothing here outlives the run: the files stand in its folder, mode 0600.
"""

import base64
import datetime
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS: Final = 30
"""How long a run may last."""
SERVER_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
CLIENTS: Final = (
    ("admin", "kubernetes-admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kwok", "kwok", "system:masters"),
    ("kube-proxy", "system:kube-proxy", ""),
    ("coredns", "coredns", "system:masters"),
    ("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
    ("front-proxy", "front-proxy-client", ""),
)
"""File name, user, group."""


@dataclass(frozen=True)
class Pki:
    """The folder with everything; `path` names a file in it."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def kubeconfig(self, name: str) -> Path:
        return self.folder / f"{name}.kubeconfig"


def make_pki(folder: Path, server: str, addresses: Sequence[str], nodes: Mapping[str, str] | None = None) -> Pki:
    """Write a CA, a serving certificate for `addresses`, client certificates and their kubeconfigs for `server`.

    `nodes` are names and addresses of real nodes: each gets `<name>-serving` and, as a client, `<name>`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca = _Authority(folder)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)]
    ca.issue("serving", "kube-apiserver", "", names)
    for file, user, group in CLIENTS:
        ca.issue(file, user, group, ())
        _write_kubeconfig(folder, file, server)
    for node, address in (nodes or {}).items():
        ca.issue(f"{node}-serving", node, "", [x509.IPAddress(ipaddress.ip_address(address))])
        ca.issue(node, f"system:node:{node}", "system:nodes", ())
        _write_kubeconfig(folder, node, server)
    account = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "accounts.key", account)
    public = account.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "accounts.pub").write_bytes(public)
    return Pki(folder)


def renew(pki: Pki, name: str) -> None:
    """Another certificate with another key in place of `name`'s: same CA, subject and names."""
    old = x509.load_pem_x509_certificate(Path(pki.path(f"{name}.crt")).read_bytes())
    signer = serialization.load_pem_private_key(Path(pki.path("ca.key")).read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(old.issuer, old.subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(old.not_valid_before_utc).not_valid_after(old.not_valid_after_utc)
    for extension in old.extensions:
        own = isinstance(extension.value, x509.SubjectKeyIdentifier)
        value = x509.SubjectKeyIdentifier.from_public_key(key.public_key()) if own else extension.value
        builder = builder.add_extension(value, extension.critical)
    Path(pki.path(f"{name}.crt")).write_bytes(
        builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    _write_key(Path(pki.path(f"{name}.key")), key)


class _Authority:
    """A CA that signs into one folder: `<name>.crt` and `<name>.key` for each certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("kubernetes", "")
        builder = self._builder(self._name, self._key, ca=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self._sign("ca", builder.add_extension(usage, critical=True), self._key)

    def issue(self, file: str, user: str, group: str, names: Sequence[x509.GeneralName]) -> None:
        """A serving certificate where there are names, else a client's."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_subject(user, group), key, ca=False)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self._sign(file, builder, key)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _sign(self, file: str, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> None:
        certificate = builder.sign(self._key, hashes.SHA256())
        (self._folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(self._folder / f"{file}.key", key)


def _subject(user: str, group: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """PEM for its owner only, in the form of RFC 5915 ("EC PRIVATE KEY"), which every client-go reads."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)


def _write_kubeconfig(folder: Path, name: str, server: str) -> None:
    def data(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "host", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": data(f"{name}.crt"),
                    "client-key-data": data(f"{name}.key"),
                },
            }
        ],
        "contexts": [{"name": "host", "context": {"cluster": "host", "user": name}}],
        "current-context": "host",
    }
    path = folder / f"{name}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))
