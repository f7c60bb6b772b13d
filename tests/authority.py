"""Certificates for tests: a root, an authority below it, and servers' certificates that the authority signs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

local_names: Final = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))


@frozen
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def encrypted_key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))


@frozen
class Authority:
    """A root that clients trust, and an intermediate authority that servers must send along."""

    root: Signed
    intermediate: Signed

    @classmethod
    def make(cls) -> "Authority":
        root = _sign("root", None, is_authority=True)
        return cls(root, _sign("intermediate", root, is_authority=True))

    def server(self, *, names: Sequence[x509.GeneralName] = local_names, valid_from_days: float = -1) -> Signed:
        """A new certificate, for localhost unless other names are given, that is valid for two days."""
        return _sign("localhost", self.intermediate, names, valid_from_days, is_authority=False)

    def write(self, directory: Path, server: Signed) -> Path:
        """Write `privkey.pem`, `cert.pem`, `chain.pem`, `fullchain.pem` and `root.pem`, as ACME clients name them."""
        directory.mkdir(exist_ok=True)
        (directory / "privkey.pem").write_bytes(server.key_pem)
        (directory / "privkey.pem").chmod(0o600)
        (directory / "cert.pem").write_bytes(server.pem)
        (directory / "chain.pem").write_bytes(self.intermediate.pem)
        (directory / "fullchain.pem").write_bytes(server.pem + self.intermediate.pem)
        (directory / "root.pem").write_bytes(self.root.pem)
        return directory


def _sign(
    name: str,
    issuer: Signed | None,
    names: Sequence[x509.GeneralName] = local_names,
    valid_from_days: float = -1,
    *,
    is_authority: bool,
) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    valid_from = datetime.now(UTC) + timedelta(days=valid_from_days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from)
        .not_valid_after(valid_from + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
