"""Certificates: a chain that clients accept, renewed in time, files followed without a restart."""

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from vcproxy.access import certificates
from vcproxy.access.certificates import CertificateSource, Pair, make_ca, make_serving


def serial(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate).serial_number


async def served_serial(source: CertificateSource, ca: Pair) -> int:
    """The serial number that a client sees, having verified the chain and the name."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=source.context())
    port = server.sockets[0].getsockname()[1]
    client = ssl.create_default_context(cadata=ca.certificate.decode())
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        found = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        await writer.wait_closed()
    finally:
        server.close()
        await server.wait_closed()
    return x509.load_der_x509_certificate(found).serial_number


async def test_a_client_that_trusts_the_ca_accepts_what_is_made() -> None:
    ca = make_ca()
    source = certificates.of_ca(lambda: ca, ["localhost", "127.0.0.1"])
    assert await served_serial(source, ca) == await served_serial(source, ca)


async def test_a_client_that_trusts_another_ca_does_not() -> None:
    source = certificates.of_ca(make_ca, ["localhost"])
    with pytest.raises(ssl.SSLCertVerificationError):
        await served_serial(source, make_ca())


def test_a_certificate_is_renewed_when_a_third_of_its_life_is_left() -> None:
    ca, at = make_ca(), datetime.datetime.now(datetime.UTC)
    moment = [at]
    source = certificates.of_ca(lambda: ca, ["localhost"], lambda: moment[0])
    assert source.refresh()
    moment[0] = at + datetime.timedelta(days=59)
    assert not source.refresh()
    moment[0] = at + datetime.timedelta(days=61)
    assert source.refresh()


async def test_files_are_followed_in_place(tmp_path: Path) -> None:
    ca = make_ca()
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    first, second = (make_serving(ca, ["localhost"]) for _ in range(2))

    def put(pair: Pair) -> None:
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)

    put(first)
    source = certificates.of_files(certificate, key)
    assert await served_serial(source, ca) == serial(first)
    put(second)
    assert source.refresh()
    assert await served_serial(source, ca) == serial(second)


def test_a_pair_that_does_not_fit_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    ca = make_ca()
    pair, other = make_serving(ca, ["localhost"]), make_serving(ca, ["localhost"])
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    source = certificates.of_files(certificate, key)
    source.refresh()
    key.write_bytes(other.key)
    with pytest.raises((OSError, ValueError)):
        source.refresh()


def test_a_key_never_shows() -> None:
    assert "PRIVATE" not in repr(make_ca())


def test_names_are_needed() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        make_serving(make_ca(), [])
