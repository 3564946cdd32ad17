"""The deadline over TLS: its sockets read and write in other ways than plain ones."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crm.deadline import DeadlineTransport, calls_until
from crm.errors import CrmUnavailable
from crm.http import AllowedHosts, HttpClient

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(minutes=10))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def serving_tls(certificate: Path, behave: Callable[[ssl.SSLSocket], None]) -> Iterator[str]:
    """A TLS server for one connection, which reads a request head and then behaves as told; its origin."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve() -> None:
        try:
            connection, _address = listener.accept()
            with context.wrap_socket(connection, server_side=True) as secured:
                if secured.recv(65536):
                    behave(secured)
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(8)


def send(origin: str, certificate: Path, seconds: float, body: bytes = b"") -> requests.Response:
    transport = DeadlineTransport(max_retries=0)
    prepared = requests.Request("POST", origin, data=body).prepare()
    try:
        with calls_until(time.monotonic() + seconds):
            response = transport.send(prepared, stream=True, timeout=(seconds, seconds), verify=str(certificate))
            assert response.content is not None
            return response
    finally:
        transport.close()


def test_a_call_over_tls_works(certificate: Path) -> None:
    """Our connections speak TLS and check the certificate."""
    with serving_tls(certificate, lambda secured: secured.sendall(REPLY)) as origin:
        # When
        response = send(origin, certificate, 5.0)

        # Then
        assert (response.status_code, response.content) == (200, b"{}")


def test_a_slow_drip_over_tls_ends_at_the_deadline(certificate: Path) -> None:
    """Each read gets what is left of the call."""

    def drip(secured: ssl.SSLSocket) -> None:
        secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
        for _ in range(40):
            time.sleep(0.05)
            secured.sendall(b"a")

    with serving_tls(certificate, drip) as origin:
        started = time.monotonic()

        # When / Then
        with pytest.raises(requests.RequestException):
            send(origin, certificate, 0.5)
        assert time.monotonic() - started < 1.0


def test_a_server_over_tls_that_reads_nothing_ends_at_the_deadline(certificate: Path) -> None:
    """Each write gets what is left of the call."""
    with serving_tls(certificate, lambda _secured: time.sleep(2)) as origin:
        started = time.monotonic()

        # When / Then
        with pytest.raises(requests.RequestException):
            send(origin, certificate, 0.5, b"x" * 30_000_000)
        assert time.monotonic() - started < 1.5


def test_a_certificate_of_nobody_is_refused_before_the_request(certificate: Path) -> None:
    """Nothing was sent to a server that cannot prove its name: the call has certainly not arrived."""
    with serving_tls(certificate, lambda secured: secured.sendall(REPLY)) as origin:
        client = HttpClient(timeout_s=3.0, connect_timeout_s=2.0, allowed_hosts=AllowedHosts((), origin))

        # When
        with pytest.raises(CrmUnavailable) as raised:
            client.send("POST", f"{origin}/x", json={})

        # Then
        assert not raised.value.may_have_arrived
