"""
How an agent proves to its peers who it is: a key of its own and nothing else.

Each agent keeps a P-256 key and a self-signed certificate in its root-only state
directory, and publishes the certificate in its NodeCapacity, where only it may write.
Peers trust exactly the certificates published, so there is no authority, no Secret
and no bearer token between nodes. One counts for the node only that it names
(`own_certificate`): it is public, and anybody might publish another's. Dates in the
certificate mean nothing, since it is trusted for being published; and it signs nobody
else, or one member could vouch for strangers. A server tells its peers apart by the
bytes of what they showed.

A server's context is open to new anchors while it runs (`trust`), but anchors never leave
one: a server must still compare the peer's bytes with what is published now, and takes a
new context when too many are out of date (`TrustedPeers`).
A client's context trusts one peer alone, and then there is nothing left to compare.

Either end closes without waiting for the other's close_notify (`OneSidedClose`).
"""

import os
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadline_policies.errors import InvalidInput

KEY_FILE, CERTIFICATE_FILE = "key.pem", "certificate.pem"

SPARE_ANCHORS = 64
"""Certificates out of date, beyond as many as are in use, before a server takes a new context. Chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A node's name, where its agent listens (host:port), and its certificate."""

    node: str
    address: str
    key_file: Path
    certificate_file: Path
    pem: str

    @property
    def der(self) -> bytes:
        """The certificate's bytes, by which peers know it."""
        return ssl.PEM_cert_to_DER_cert(self.pem)

    @classmethod
    def load_or_create(cls, state_dir: Path, *, node: str, address: str) -> "Identity":
        """The identity kept in `state_dir`, or a new one if there is none of this node that can be used.

        A directory copied from another node (a cloned disk) holds another node's name and is
        replaced. Raises InvalidInput when the directory can't be written.
        """
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            state_dir.chmod(0o700)
            if not _usable(state_dir, node):
                _create(state_dir, node)
        except OSError as error:
            raise InvalidInput(
                "state-dir", str(state_dir), fix=f"give one that this process may write ({error})"
            ) from error
        key_file, certificate_file = state_dir / KEY_FILE, state_dir / CERTIFICATE_FILE
        return cls(
            node=node,
            address=address,
            key_file=key_file,
            certificate_file=certificate_file,
            pem=certificate_file.read_text(),
        )


class OneSidedClose(ssl.SSLObject):
    """Sends close_notify to the peer, and doesn't wait for the peer's own.

    asyncio waits 30 s for that with the socket open, also after its owner is gone: each node of a row
    whose coordinator hangs or lost its power would keep some twenty of them. TLS 1.3 asks for no answer
    to a close_notify (RFC 8446, 6.1), and HTTP tells by itself whether a message was whole.
    """

    def unwrap(self) -> None:
        """Send close_notify."""
        try:
            super().unwrap()
        except ssl.SSLWantReadError:
            return


class TrustedPeers:
    """Whom a server lets in: `context` is for the next handshake, and follows what is published."""

    def __init__(self, identity: Identity) -> None:
        self.context = server_context(identity)
        self._identity = identity
        self._trusted: set[bytes] = set()

    def follow(self, certificates: Collection[bytes]) -> None:
        """Let in whoever shows one of these, from the next handshake on."""
        if len(self._trusted | set(certificates)) > 2 * len(certificates) + SPARE_ANCHORS:
            self.context, self._trusted = server_context(self._identity), set()
        trust(self.context, *(set(certificates) - self._trusted))
        self._trusted |= set(certificates)


def server_context(identity: Identity) -> ssl.SSLContext:
    """TLS 1.3 for the agent's server: a peer without a trusted certificate can't connect."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.num_tickets = 0  # connections are kept alive; a resumed one could outlive its certificate
    return context


def client_context(identity: Identity, peer_der: bytes) -> ssl.SSLContext:
    """TLS 1.3 towards one peer: a server that shows any other certificate is refused."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    trust(context, peer_der)
    return context


def trust(context: ssl.SSLContext, *peers_der: bytes) -> None:
    """Accept these certificates too, from the next handshake on."""
    if peers_der:
        context.load_verify_locations(cadata=b"".join(peers_der))


def der_of(pem: str) -> bytes:
    """The bytes of one PEM certificate; InvalidInput if it isn't one."""
    try:
        der = ssl.PEM_cert_to_DER_cert(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=der)
        found = context.cert_store_stats()["x509"]
        if found != 1:
            raise ValueError(f"there are {found} in it")
    except (ValueError, ssl.SSLError) as error:
        raise InvalidInput("certificate", pem[:40], fix=f"publish one PEM certificate ({error})") from error
    return der


def own_certificate(pem: str, *, node: str) -> bytes:
    """The bytes of a node's certificate; InvalidInput if it isn't one, or names another node.

    Its alternative name has named the node since the first version of the agent.
    """
    der = der_of(pem)
    if not _names(der, node):
        raise InvalidInput(
            "certificate",
            pem[:40],
            fix=f"it names another node: publish the one that the agent on {node} made for itself",
        )
    return der


def certificate_shown(ssl_object: Any) -> bytes:
    """The bytes of the certificate that the peer showed; empty if it showed none."""
    shown: bytes | None = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    return shown or b""


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.sslobject_class = OneSidedClose
    context.check_hostname = False  # the certificate itself is what is trusted, not a name in it
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    return context


def _usable(state_dir: Path, node: str) -> bool:
    key_file, certificate_file = state_dir / KEY_FILE, state_dir / CERTIFICATE_FILE
    if not (key_file.exists() and certificate_file.exists()):
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file)
        return _names(ssl.PEM_cert_to_DER_cert(certificate_file.read_text()), node)
    except (ValueError, ssl.SSLError):
        return False


def _names(der: bytes, node: str) -> bool:
    """Whether an alternative name is the node's: tag 2, length, ASCII (RFC 5280, 4.2.1.6).

    Looked for among the bytes: `ssl` reads a certificate only of a peer that it has let in. Whoever makes
    one can have it name several nodes, and it is the maker's all the same: peers compare all its bytes.
    """
    name = node.encode("ascii", "replace")
    length = bytes([len(name)]) if len(name) < 128 else bytes([0x81, len(name)])
    return b"\x82" + length + name in der


def _create(state_dir: Path, node: str) -> None:
    """A new key and certificate; the key first, so that a certificate never lacks its own."""
    from loadline_agent.domain import self_signed_certificates

    key_pem, certificate_pem = self_signed_certificates.self_signed(node)
    _write(state_dir / KEY_FILE, key_pem)
    _write(state_dir / CERTIFICATE_FILE, certificate_pem)


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
