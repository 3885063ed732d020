"""
The bed's own certificate authority: who the API server is, and who its clients are.

The CA lives as long as the bed and signs the API server's certificate and one
client certificate for each control-plane identity. A Kubernetes user is nothing but
a certificate's common name, its groups are the organisations. P-256 throughout,
since an RSA key costs a good part of a second and the bed needs six of them.
"""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = datetime.timedelta(days=30)
"""Chosen: longer than anybody leaves a bed up."""

SKEW = datetime.timedelta(minutes=5)
"""Certificates are valid from a little before their making, for clocks that step back."""

SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")

SIGNS = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
"""What an authority's key may do; strict verifiers (Python 3.13) want it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The files of a certificate and its private key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that writes what it signs into one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loadline-testenv")])
        signed = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None), SIGNS)
        self.pair = self._write("ca", signed, key=self._key)

    def server(self, name: str, *, addresses: tuple[str, ...] = ("127.0.0.1",)) -> Pair:
        """The certificate that a server shows, good for these addresses and the API server's names."""
        names = [
            *(x509.DNSName(n) for n in SERVER_NAMES),
            *(x509.IPAddress(ipaddress.ip_address(a)) for a in addresses),
        ]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return self._issue(name, _subject(name), usage, x509.SubjectAlternativeName(names))

    def client(self, user: str, *, groups: tuple[str, ...] = ()) -> Pair:
        """A certificate that makes its bearer this Kubernetes user, member of these groups."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue(user.replace(":", "-"), _subject(user, groups), usage)

    def signing_key(self, name: str) -> Pair:
        """A bare key pair, public half in `certificate`; the API server signs tokens with one."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return self._write(name, public, key=key)

    def _issue(self, name: str, subject: x509.Name, *extensions: x509.ExtensionType) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, self._signed(subject, key, *extensions), key=key)

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - SKEW,
            not_valid_after=now + LIFE,
        )
        known_by = (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        )
        for extension in (*extensions, *known_by):
            critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, public: bytes, *, key: ec.EllipticCurvePrivateKey) -> Pair:
        pair = Pair(certificate=self.directory / f"{name}.crt", key=self.directory / f"{name}.key")
        pair.certificate.write_bytes(public)
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair


def _subject(user: str, groups: tuple[str, ...] = ()) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, user)])
