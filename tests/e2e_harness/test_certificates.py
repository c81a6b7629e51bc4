"""The PKI of a run: who is named how, who trusts whom, and that keys are for their owner only."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from e2e.cluster.certificates import CLIENTS, Pki, make_pki, renew


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"), "https://127.0.0.1:6443", ["127.0.0.1", "192.0.2.1", "127.0.0.1"])


def certificate(pki: Pki, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(pki.path(f"{name}.crt")).read_bytes())


def test_all_are_signed_by_the_ca(pki: Pki) -> None:
    ca = certificate(pki, "ca")
    for name in ("serving", *(client[0] for client in CLIENTS)):
        certificate(pki, name).verify_directly_issued_by(ca)


def test_clients_carry_user_and_group(pki: Pki) -> None:
    admin = certificate(pki, "admin").subject
    assert admin.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "kubernetes-admin"
    assert admin.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"
    assert not certificate(pki, "scheduler").subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)


def test_the_serving_certificate_names_every_address(pki: Pki) -> None:
    names = certificate(pki, "serving").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "192.0.2.1"]
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_keys_and_kubeconfigs_are_for_their_owner_only(pki: Pki) -> None:
    secret = [path for path in pki.folder.iterdir() if path.suffix in (".key", ".kubeconfig")]
    assert len(secret) == 2 * len(CLIENTS) + 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_a_kubeconfig_names_the_server(pki: Pki) -> None:
    document = json.loads(pki.kubeconfig("admin").read_text())
    assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"


def test_two_runs_share_nothing(pki: Pki, tmp_path: Path) -> None:
    other = make_pki(tmp_path, "https://127.0.0.1:6443", ["127.0.0.1"])
    first, second = (certificate(one, "ca").public_key() for one in (pki, other))
    assert isinstance(first, ec.EllipticCurvePublicKey)
    assert first != second


def test_a_real_node_is_a_client_in_the_nodes_group_and_a_server_at_its_address(tmp_path: Path) -> None:
    pki = make_pki(tmp_path, "https://10.200.0.1:6443", ["10.200.0.1"], {"real-1": "10.200.0.2"})
    client = certificate(pki, "real-1").subject
    assert client.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:real-1"
    assert client.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
    names = certificate(pki, "real-1-serving").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.200.0.2"]
    assert pki.kubeconfig("real-1").exists()


def test_a_renewed_certificate_says_the_same_with_another_key(tmp_path: Path) -> None:
    run = make_pki(tmp_path, "https://127.0.0.1:6443", ["127.0.0.1"])
    before = certificate(run, "serving")
    renew(run, "serving")
    after = certificate(run, "serving")
    after.verify_directly_issued_by(certificate(run, "ca"))
    names = [one.extensions.get_extension_for_class(x509.SubjectAlternativeName) for one in (before, after)]
    assert (names[0], before.subject) == (names[1], after.subject)
    assert before.serial_number != after.serial_number
    key = serialization.load_pem_private_key(Path(run.path("serving.key")).read_bytes(), None)
    assert key.public_key() == after.public_key() != before.public_key()
    assert stat.S_IMODE(Path(run.path("serving.key")).stat().st_mode) == 0o600
