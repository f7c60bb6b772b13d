"""TLS: the certificate that a listener presents, and the authorities that https peers are checked against.

Both come from files that can be read again while connections are open: a new connection uses what was read last, an
open one keeps what it began with.
"""

from pathlib import Path
from typing import Any, cast

from attrs import frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import Certificate as TrustedCertificate
from twisted.internet.ssl import CertificateOptions, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer


class BadCertificate(Exception):
    """A file has no usable certificate or key; the message says why."""


@frozen
class CertificateFiles:
    """The PEM files of a listener.

    Attributes:
        private_key: the key, not encrypted.
        certificate: the listener's certificate, and after it those that lead to the authority.
        extra_chain: further certificates that lead to the authority; None for none.
    """

    private_key: Path
    certificate: Path
    extra_chain: Path | None = None


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """The certificate of a listener, with Twisted's defaults for everything else (TLS 1.2 and later).

    Attributes:
        files: where it was read from.
    """

    def __init__(self, files: CertificateFiles) -> None:
        """Read the files.

        Raises:
            BadCertificate: one can't be read, or key and certificate do not belong together.
        """
        self.files = files
        self.reread()

    def reread(self) -> None:
        """Read the files again; a failure leaves the certificate that is in use.

        Raises:
            BadCertificate: one can't be read, or key and certificate do not belong together.
        """
        self._options = _options(self.files)

    def __len__(self) -> int:
        return 1 + len(self._options.extraCertChain)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802
        """Return the OpenSSL side of a new connection."""
        return self._options.serverConnectionForTLS(protocol)


@implementer(IPolicyForHTTPS)
class PeerAuthorities:
    """The authorities that sign the certificates of https peers."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            BadCertificate: it can't be read, or has no certificate.
        """
        self._path = path
        self.reread()

    def reread(self) -> None:
        """Read the file again; a failure leaves the authorities that are in use.

        Raises:
            BadCertificate: it can't be read, or has no certificate.
        """
        self._trusted = _certificates(self._path)
        trusted = [TrustedCertificate(crypto.X509.from_cryptography(each)) for each in self._trusted]
        self._policy = BrowserLikePolicyForHTTPS(trustRoot=trustRootFromCertificates(trusted))

    def __len__(self) -> int:
        return len(self._trusted)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: N802
        """Return the checks of a connection to this host."""
        return self._policy.creatorForNetloc(hostname, port)


def _options(files: CertificateFiles) -> CertificateOptions:
    chain = _certificates(files.certificate)
    if files.extra_chain is not None:
        chain += _certificates(files.extra_chain)
    # Twisted declares pyOpenSSL's own types, of which pyOpenSSL has warned since it takes these.
    key, (own, *others) = cast(Any, _key(files.private_key)), cast(list[Any], chain)
    options = CertificateOptions(privateKey=key, certificate=own, extraCertChain=others)
    try:
        options.getContext()
    except SSL.Error as error:
        raise BadCertificate(
            f"the key in {str(files.private_key)!r} can't be used with the first certificate in "
            f"{str(files.certificate)!r}, which must be this server's own: {_reason(error)}"
        ) from None
    return options


def _certificates(path: Path) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(_read(path))
    except ValueError:
        raise BadCertificate(f"{str(path)!r} has no certificate in PEM format, or one that can't be read") from None


def _key(path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise BadCertificate(f"the key in {str(path)!r} is encrypted: store it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate(f"{str(path)!r} has no private key in PEM format, or one that can't be read") from None


def _reason(error: Exception) -> str:
    """Return what OpenSSL says: the last part of the first of its errors."""
    return str(error.args[0][0][-1]) if error.args and error.args[0] else type(error).__name__


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCertificate(f"can't read {str(path)!r}: {error.strerror}") from None
