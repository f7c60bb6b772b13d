"""The check of the certificate that an https peer presents, and the reason why it is not accepted.

Twisted's own check accepts a certificate without any host name if an authority signed it, and calls all else that may
be wrong with a certificate "certificate verify failed".
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from attrs import frozen
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

_codes: Final = SSL.X509VerificationCodes
_unknown_authority: Final = "no known authority signed the certificate, or the peer does not send its chain"
_words: Final = {
    _codes.ERR_CERT_HAS_EXPIRED: "a certificate has expired",
    _codes.ERR_CERT_NOT_YET_VALID: "a certificate is not valid yet",
    _codes.ERR_UNABLE_TO_GET_ISSUER_CERT: _unknown_authority,
    _codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: _unknown_authority,
    _codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: _unknown_authority,
    _codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: _unknown_authority,
    _codes.ERR_SELF_SIGNED_CERT_IN_CHAIN: _unknown_authority,
    _codes.ERR_CERT_SIGNATURE_FAILURE: _unknown_authority,  # another authority of the same name did
}


class BadPeerCertificate(Exception):
    """A peer's certificate is not accepted; the message says why."""


@implementer(IOpenSSLClientConnectionCreator)
@frozen
class CheckedConnections:
    """What makes the OpenSSL side of connections to one peer.

    Attributes:
        creator: makes them, and knows the authorities.
        host: the host name or address that the peer's certificate must have.
    """

    creator: IOpenSSLClientConnectionCreator
    host: str

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802
        """Return the OpenSSL side of a new connection; a failed check ends it with `BadPeerCertificate`."""
        connection = self.creator.clientConnectionForTLS(protocol)
        check = _check(protocol, _service(self.host))
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, check)
        return connection


def _service(host: str) -> ServiceID:
    try:
        return IPAddress_ID(str(ip_address(host)))
    except ValueError:
        return DNS_ID(host)


def _check(
    protocol: TLSMemoryBIOProtocol, service: ServiceID
) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
    """Return what OpenSSL calls with each certificate of the chain, the peer's own at depth 0."""

    def is_accepted(
        _connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, is_valid: int
    ) -> bool:
        why = "" if is_valid else _words.get(code) or _named(code)
        if not why and depth == 0 and not _is_for(certificate, service):
            why = "the certificate is not for this host name"
        if why:
            protocol.failVerification(Failure(BadPeerCertificate(why)))
        return not why

    return is_accepted


def _named(code: int) -> str:
    """Return the name that OpenSSL has for a reason, as words."""
    names = [name for name, value in vars(_codes).items() if name.startswith("ERR_") and value == code]
    return names[0].removeprefix("ERR_").replace("_", " ").lower() if names else f"OpenSSL's error {code}"


def _is_for(certificate: crypto.X509, service: ServiceID) -> bool:
    try:
        verify_service_identity(extract_patterns(certificate), [service], [])
    except (CertificateError, VerificationError):
        return False
    return True
