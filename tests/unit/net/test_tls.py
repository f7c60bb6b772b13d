"""Which certificates a listener presents, and which ones of peers are accepted: real handshakes, in memory."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from dqtw.net.tls import BadCertificate, CertificateFiles, PeerAuthorities, ServerCertificate
from tests.authority import Authority
from tests.unit.net.tls_handshake import refusal_of

authority = Authority.make()


def files(directory: Path, certificate: str = "fullchain.pem") -> CertificateFiles:
    return CertificateFiles(directory / "privkey.pem", directory / certificate)


class Client:
    """A TLS client that trusts the root alone; Python's own ssl module, which shares no code with the server."""

    def __init__(self, **settings: Any) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cadata=authority.root.pem.decode())
        for name, value in settings.items():
            setattr(context, name, value)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def handshake(self, certificate: ServerCertificate) -> None:
        """Shake hands with a server of this certificate.

        Raises:
            ssl.SSLError: the client does not accept it.
        """
        factory = TLSMemoryBIOFactory(certificate, False, Factory.forProtocol(Protocol), clock=Clock())
        server = factory.buildProtocol(None)
        transport = StringTransport()
        server.makeConnection(transport)
        while True:
            try:
                return self.tls.do_handshake()
            except ssl.SSLWantReadError:
                server.dataReceived(self.outgoing.read())
                self.incoming.write(transport.value())
                transport.clear()

    @property
    def serial(self) -> int:
        """The serial number of the server's certificate."""
        told: Any = self.tls.getpeercert()
        return int(told["serialNumber"], 16)


def shaken(certificate: ServerCertificate, **settings: Any) -> int:
    """The serial number of the certificate that a client accepted."""
    client = Client(**settings)
    client.handshake(certificate)
    return client.serial


def test_a_file_with_the_chain_sends_the_chain(tmp_path: Path) -> None:
    server = authority.server()
    authority.write(tmp_path, server)
    assert shaken(ServerCertificate(files(tmp_path))) == server.serial


def test_a_chain_in_a_file_of_its_own_is_sent_too(tmp_path: Path) -> None:
    server = authority.server()
    authority.write(tmp_path, server)
    alone = ServerCertificate(files(tmp_path, "cert.pem"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(alone)
    given = CertificateFiles(tmp_path / "privkey.pem", tmp_path / "cert.pem", tmp_path / "chain.pem")
    assert shaken(ServerCertificate(given)) == server.serial


def test_key_and_chain_may_be_one_file(tmp_path: Path) -> None:
    server = authority.server()
    (tmp_path / "server.pem").write_bytes(server.key_pem + server.pem + authority.intermediate.pem)
    given = CertificateFiles(tmp_path / "server.pem", tmp_path / "server.pem")
    assert shaken(ServerCertificate(given)) == server.serial


def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    authority.write(tmp_path, authority.server())
    certificate = ServerCertificate(files(tmp_path))
    with pytest.warns(DeprecationWarning), pytest.raises((ssl.SSLError, OSError, ValueError)):
        shaken(certificate, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        shaken(certificate, minimum_version=version, maximum_version=version)


def test_a_renewed_certificate_is_for_new_connections(tmp_path: Path) -> None:
    old, new = authority.server(), authority.server()
    certificate = ServerCertificate(files(authority.write(tmp_path, old)))
    authority.write(tmp_path, new)
    assert shaken(certificate) == old.serial
    certificate.reread()
    assert shaken(certificate) == new.serial


def without_key(directory: Path) -> str:
    (directory / "privkey.pem").unlink()
    return f"can't read '{directory}/privkey.pem': No such file or directory"


def without_certificate(directory: Path) -> str:
    (directory / "fullchain.pem").write_text("nothing\n")
    return f"'{directory}/fullchain.pem' has no certificate in PEM format, or one that can't be read"


def with_broken_certificate(directory: Path) -> str:
    (directory / "fullchain.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return f"'{directory}/fullchain.pem' has no certificate in PEM format, or one that can't be read"


def with_broken_key(directory: Path) -> str:
    (directory / "privkey.pem").write_bytes(authority.root.pem)
    return f"'{directory}/privkey.pem' has no private key in PEM format, or one that can't be read"


def with_encrypted_key(directory: Path) -> str:
    (directory / "privkey.pem").write_bytes(authority.server().encrypted_key_pem)
    return f"the key in '{directory}/privkey.pem' is encrypted: store it without a passphrase"


def with_another_key(directory: Path) -> str:
    (directory / "privkey.pem").write_bytes(authority.server().key_pem)
    return (
        f"the key in '{directory}/privkey.pem' can't be used with the first certificate in "
        f"'{directory}/fullchain.pem', which must be this server's own: key values mismatch"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        without_key,
        without_certificate,
        with_broken_certificate,
        with_broken_key,
        with_encrypted_key,
        with_another_key,
    ],
)
def test_files_that_can_not_be_used_leave_what_is_in_use(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    server = authority.server()
    certificate = ServerCertificate(files(authority.write(tmp_path, server)))
    why = spoil(tmp_path)
    for read in (certificate.reread, lambda: ServerCertificate(files(tmp_path))):
        with pytest.raises(BadCertificate) as caught:
            read()
        assert str(caught.value) == why
    assert shaken(certificate) == server.serial


def accepts(authorities: PeerAuthorities, certificate: ServerCertificate, host: str = "localhost") -> bool:
    """Return True if a node that trusts these authorities accepts a peer's certificate."""
    return not refusal_of(certificate, authorities.creatorForNetloc(host.encode(), 443), host)


def test_peers_are_checked_against_the_given_authorities(tmp_path: Path) -> None:
    certificate = ServerCertificate(files(authority.write(tmp_path, authority.server())))
    authorities = PeerAuthorities(tmp_path / "root.pem")
    assert accepts(authorities, certificate)
    assert accepts(authorities, certificate, "127.0.0.1")
    assert not accepts(authorities, certificate, "another.example")
    (tmp_path / "root.pem").write_bytes(Authority.make().root.pem)
    assert accepts(authorities, certificate)
    authorities.reread()
    assert not accepts(authorities, certificate)


def test_a_file_without_authorities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with pytest.raises(BadCertificate, match="can't read"):
        PeerAuthorities(path)
    path.write_text("")
    with pytest.raises(BadCertificate, match="has no certificate in PEM format"):
        PeerAuthorities(path)
