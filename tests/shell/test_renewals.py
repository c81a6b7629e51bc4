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
