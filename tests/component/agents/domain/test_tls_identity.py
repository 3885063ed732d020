"""Who an agent is to its peers: real keys, real handshakes."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from loadline_agent.domain.self_signed_certificates import self_signed
from loadline_agent.domain.tls_identity import (
    SPARE_ANCHORS,
    Identity,
    TrustedPeers,
    certificate_shown,
    client_context,
    server_context,
    trust,
)
from loadline_api.node_capacities import CERTIFICATE_PATTERN
from loadline_policies.errors import InvalidInput


def self_signed_der(node: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(self_signed(node)[1].decode())


def identity(directory: Path, node: str) -> Identity:
    return Identity.load_or_create(directory / node, node=node, address="127.0.0.1:9476")


@dataclass
class Server:
    """Says hello to whoever is let in, and remembers by which bytes they are known."""

    context: ssl.SSLContext
    port: int = 0
    seen: list[bytes] = field(default_factory=list)

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(certificate_shown(writer.get_extra_info("ssl_object")))
        writer.write(b"hello")
        writer.close()

    async def greets(self, context: ssl.SSLContext) -> bytes:
        """What a client with this context gets to hear: nothing, if the server doesn't let it in."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        try:
            return await reader.read()
        except (ssl.SSLError, ConnectionError):
            return b""
        finally:
            writer.close()


@pytest.fixture
async def host(tmp_path: Path) -> Identity:
    return identity(tmp_path, "host")


@pytest.fixture
async def server(host: Identity) -> AsyncIterator[Server]:
    made = Server(server_context(host))
    listening = await asyncio.start_server(made.greet, "127.0.0.1", 0, ssl=made.context)
    made.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield made


async def test_members_are_trusted_while_the_server_runs_and_told_apart(
    server: Server, host: Identity, tmp_path: Path
) -> None:
    early, late = identity(tmp_path, "early"), identity(tmp_path, "late")
    trust(server.context, early.der)
    assert await server.greets(client_context(early, host.der)) == b"hello"
    assert await server.greets(client_context(late, host.der)) == b""
    trust(server.context, late.der)
    assert await server.greets(client_context(late, host.der)) == b"hello"
    assert server.seen == [early.der, late.der]


async def test_a_server_with_another_certificate_is_refused(server: Server, tmp_path: Path) -> None:
    member, other = identity(tmp_path, "member"), identity(tmp_path, "other")
    trust(server.context, member.der)
    with pytest.raises(ssl.SSLCertVerificationError):
        await server.greets(client_context(member, other.der))
    assert server.seen == []


async def test_nobody_comes_in_without_a_certificate(server: Server, host: Identity) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=host.der)
    assert await server.greets(context) == b""
    assert server.seen == []


async def test_a_member_cannot_vouch_for_a_stranger(server: Server, host: Identity, tmp_path: Path) -> None:
    member, stranger = identity(tmp_path, "member"), identity(tmp_path, "stranger")
    trust(server.context, member.der)
    stranger.certificate_file.write_bytes(_signed_by(member, stranger))
    assert await server.greets(client_context(stranger, host.der)) == b""
    assert server.seen == []


async def test_an_older_tls_is_refused(server: Server, host: Identity, tmp_path: Path) -> None:
    member = identity(tmp_path, "member")
    trust(server.context, member.der)
    context = client_context(member, host.der)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await server.greets(context)


def test_certificates_that_come_and_go_dont_heap_up(host: Identity) -> None:
    """A node may publish a new one as often as it likes."""
    peers, members = TrustedPeers(host), [self_signed_der(f"node-{index}") for index in range(3)]
    for _ in range(5 * SPARE_ANCHORS):
        members[0] = self_signed_der("node-0")
        peers.follow(members)
        assert peers.context.cert_store_stats()["x509"] <= 2 * len(members) + SPARE_ANCHORS


async def test_a_member_stays_trusted_when_those_that_are_gone_are_let_go(
    host: Identity, tmp_path: Path
) -> None:
    member, gone = identity(tmp_path, "member"), identity(tmp_path, "gone")
    peers = TrustedPeers(host)
    peers.follow([member.der, gone.der])
    for index in range(SPARE_ANCHORS + 4):
        peers.follow([member.der, self_signed_der(f"node-{index}")])
    made = Server(peers.context)
    async with await asyncio.start_server(made.greet, "127.0.0.1", 0, ssl=made.context) as listening:
        made.port = listening.sockets[0].getsockname()[1]
        assert await made.greets(client_context(member, host.der)) == b"hello"
        assert await made.greets(client_context(gone, host.der)) == b""


def test_an_identity_is_kept(tmp_path: Path) -> None:
    assert identity(tmp_path, "node-00") == identity(tmp_path, "node-00")


def test_the_certificate_is_as_the_api_wants_it(tmp_path: Path) -> None:
    assert re.match(CERTIFICATE_PATTERN, identity(tmp_path, "node-00").pem)


def test_only_root_reads_key_and_directory(tmp_path: Path) -> None:
    made = identity(tmp_path, "node-00")
    assert made.key_file.stat().st_mode & 0o777 == 0o600
    assert made.key_file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["node-1", "n" * 200])
def test_a_cloned_disk_gets_an_identity_of_its_own(tmp_path: Path, name: str) -> None:
    first = Identity.load_or_create(tmp_path, node=name + "0", address="h:1")
    clone = Identity.load_or_create(tmp_path, node=name, address="h:1")
    assert clone.der != first.der
    assert Identity.load_or_create(tmp_path, node=name, address="h:1") == clone


@pytest.mark.parametrize("broken", ["key.pem", "certificate.pem"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\n"])
def test_half_an_identity_is_made_anew(tmp_path: Path, broken: str, content: bytes | None) -> None:
    first = identity(tmp_path, "node-00")
    path = tmp_path / "node-00" / broken
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    second = identity(tmp_path, "node-00")
    assert second.der != first.der
    server_context(second)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="state-dir"):
        Identity.load_or_create(tmp_path / "file" / "state", node="node-00", address="h:1")


def _signed_by(member: Identity, stranger: Identity) -> bytes:
    """The stranger's certificate, issued by the member's key."""
    issuer = x509.load_pem_x509_certificate(member.pem.encode())
    old = x509.load_pem_x509_certificate(stranger.pem.encode())
    key = serialization.load_pem_private_key(member.key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(
        subject_name=old.subject,
        issuer_name=issuer.subject,
        public_key=old.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
