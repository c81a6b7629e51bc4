"""Certificates of the proxy while it runs: each is looked at by itself."""

from pathlib import Path

from vcproxy.access.certificates import make_ca, make_serving
from vcproxy.app.certificates import Certificates
from vcproxy.config.document import parse
from vcproxy.config.settings import API_VERSION, KIND


def test_a_certificate_that_cannot_be_read_holds_no_other_back(tmp_path: Path) -> None:
    first = make_ca()
    pair = make_serving(first, ["localhost"])
    files = {"certificate": tmp_path / "tls.crt", "key": tmp_path / "tls.key"}
    files["certificate"].write_bytes(pair.certificate)
    files["key"].write_bytes(pair.key)
    listen = {name: str(path) for name, path in files.items()}
    authority = [first]
    held = Certificates(parse({"apiVersion": API_VERSION, "kind": KIND, "listen": listen}), lambda: authority[0])
    reviews = held.reviews("vcproxy.vcproxy-system.svc")
    assert reviews.refresh()
    files["certificate"].unlink()
    authority[0] = make_ca()
    held.look()
    assert not reviews.refresh()  # the new authority's was taken up


def test_what_clients_trust_is_told_as_it_is_now(tmp_path: Path) -> None:
    authority = [make_ca()]
    held = Certificates(parse({"apiVersion": API_VERSION, "kind": KIND}), lambda: authority[0])
    for _ in range(2):
        held.look()
        assert held.authorities.shown == authority[0].certificate.decode()
        authority[0] = make_ca()


def test_a_certificate_that_was_given_is_told_anew_when_its_file_is_another(tmp_path: Path) -> None:
    files = {"certificate": tmp_path / "tls.crt", "key": tmp_path / "tls.key"}
    listen = {name: str(path) for name, path in files.items()}
    held = Certificates(parse({"apiVersion": API_VERSION, "kind": KIND, "listen": listen}), make_ca)
    for _ in range(2):
        pair = make_serving(make_ca(), ["localhost"])
        files["certificate"].write_bytes(pair.certificate)
        files["key"].write_bytes(pair.key)
        held.look()
        assert held.authorities.shown == pair.certificate.decode()
    shown = held.authorities.shown
    files["certificate"].unlink()
    held.look()
    assert held.authorities.shown == shown
