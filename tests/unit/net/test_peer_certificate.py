"""Which certificates of https peers are accepted, and why others are not: real handshakes, in memory."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from dqtw.net.tls import CertificateFiles, PeerAuthorities, ServerCertificate
from tests.authority import Authority
from tests.unit.net.tls_handshake import refusal_of

authority = Authority.make()
unknown = "no known authority signed the certificate, or the peer does not send its chain"
other_name = "the certificate is not for this host name"


def refusal(directory: Path, host: str = "localhost", certificate: str = "fullchain.pem", **settings: Any) -> str:
    """Return why a node that trusts the root does not accept a peer's certificate; empty if it does."""
    authority.write(directory, authority.server(**settings))
    files = CertificateFiles(directory / "privkey.pem", directory / certificate)
    creator = PeerAuthorities(directory / "root.pem").creatorForNetloc(host.encode(), 443)
    return refusal_of(ServerCertificate(files), creator, host)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1"])
def test_a_certificate_for_the_host_is_accepted(tmp_path: Path, host: str) -> None:
    assert refusal(tmp_path, host) == ""


@pytest.mark.parametrize("host", ["b.example", "127.0.0.2", "localhost.example"])
def test_a_certificate_for_another_host_is_not(tmp_path: Path, host: str) -> None:
    assert refusal(tmp_path, host) == other_name


@pytest.mark.parametrize("names", [[], [x509.RFC822Name("localhost@example.com")], [x509.DNSName("*")]])
def test_a_certificate_without_a_host_name_is_for_no_host(tmp_path: Path, names: list[x509.GeneralName]) -> None:
    """Though an authority signed it; a name elsewhere in it, as in its subject, does not count."""
    assert refusal(tmp_path, names=names) == other_name


def test_an_address_is_no_host_name(tmp_path: Path) -> None:
    assert refusal(tmp_path, names=[x509.IPAddress(ip_address("127.0.0.1"))]) == other_name
    assert refusal(tmp_path, "127.0.0.1", names=[x509.DNSName("localhost")]) == other_name


def test_a_certificate_counts_while_it_is_valid(tmp_path: Path) -> None:
    assert refusal(tmp_path, valid_from_days=-3) == "a certificate has expired"
    assert refusal(tmp_path, valid_from_days=+1) == "a certificate is not valid yet"


def test_a_chain_must_lead_to_a_known_authority(tmp_path: Path) -> None:
    assert refusal(tmp_path, certificate="cert.pem") == unknown
    certificate = ServerCertificate(CertificateFiles(tmp_path / "privkey.pem", tmp_path / "fullchain.pem"))
    (tmp_path / "other.pem").write_bytes(Authority.make().root.pem)
    creator = PeerAuthorities(tmp_path / "other.pem").creatorForNetloc(b"localhost", 443)
    assert refusal_of(certificate, creator, "localhost") == unknown
