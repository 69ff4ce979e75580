"""The pair changes while the server runs: new connections get the new one, those that stand do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import ssl

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from coalmine_webhook.certificates import Mint, Pair
from coalmine_webhook.metrics import Metrics
from coalmine_webhook.mounted import Mounted
from coalmine_webhook.tls import Context

NOW = datetime.datetime.now(datetime.UTC)
MINT = Mint(("localhost",), ("127.0.0.1",))
AUTHORITY = MINT.authority(NOW)
FIRST, SECOND = (MINT.serving(AUTHORITY, NOW) for _ in range(2))
STRANGER = MINT.serving(MINT.authority(NOW), NOW)


def der(pair):
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


@contextlib.asynccontextmanager
async def echoing(context):
    """Says each line again."""

    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context.ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def connected(port, authority=AUTHORITY, host="127.0.0.1", newest=ssl.TLSVersion.TLSv1_3):
    """No server is named to whom an address is (RFC 6066, 3)."""
    trust = ssl.create_default_context(cadata=authority.certificate.decode())
    trust.maximum_version = newest
    return await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=host)


def of_rsa(authority):
    """A serving pair with the other kind of key."""
    like = x509.load_pem_x509_certificate(FIRST.certificate)
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateBuilder(extensions=list(like.extensions)).serial_number(x509.random_serial_number())
    builder = builder.subject_name(like.subject).issuer_name(like.issuer).public_key(key.public_key())
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    certificate = builder.sign(serialization.load_pem_private_key(authority.key, None), hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), pem)


async def served(stream):
    """The certificate that a connection was given, once it was seen to work."""
    reader, writer = stream
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_new_connections_get_the_new_pair_and_standing_ones_stay(loop):
    async def story():
        context = Context()
        context.use(FIRST)
        async with echoing(context) as port:
            old = await connected(port)
            assert await served(old) == der(FIRST)
            context.use(SECOND)
            new = await connected(port)
            assert await served(new) == der(SECOND)
            assert await served(old) == der(FIRST), "and still works"
            for _, writer in (old, new):
                writer.close()
                await writer.wait_closed()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_pair_with_another_kind_of_key_takes_the_place_of_the_one_before(loop, newest, host):
    """As a person's, or cert-manager's, may have."""
    other = of_rsa(AUTHORITY)

    async def story():
        context = Context()
        context.use(FIRST)
        async with echoing(context) as port:
            for pair in (FIRST, other, SECOND, other):
                context.use(pair)
                stream = await connected(port, host=host, newest=newest)
                given = await served(stream)
                stream[1].close()
                await stream[1].wait_closed()
                assert given == der(pair)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


def test_what_is_resumed_goes_on():
    """Resumption asks for no certificate: a session of before a change is as good after it."""

    async def story():
        context = Context()
        context.use(FIRST)
        async with echoing(context) as port:
            trust = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())
            trust.maximum_version = ssl.TLSVersion.TLSv1_2

            def talk(session):
                plain = socket.create_connection(("127.0.0.1", port))
                with trust.wrap_socket(plain, server_hostname="localhost", session=session) as stream:
                    stream.sendall(b"hello\n")
                    assert stream.recv(6) == b"hello\n"
                    return stream.session, stream.session_reused

            session, reused = await asyncio.to_thread(talk, None)
            assert not reused
            context.use(SECOND)
            assert (await asyncio.to_thread(talk, session))[1]

    asyncio.run(story())


@pytest.mark.parametrize("pair", [Pair(SECOND.certificate, STRANGER.key), Pair(b"x", SECOND.key), Pair(b"", b"")])
def test_a_pair_that_cannot_be_used_leaves_the_one_before(pair):
    async def story():
        context = Context()
        context.use(FIRST)
        with pytest.raises(ValueError, match="the certificate cannot be served: "):
            context.use(pair)
        async with echoing(context) as port:
            stream = await connected(port)
            assert await served(stream) == der(FIRST)
            stream[1].close()
            await stream[1].wait_closed()

    asyncio.run(story())


def test_nothing_is_left_open():
    before = set(os.listdir("/proc/self/fd"))
    Context().use(FIRST)
    assert set(os.listdir("/proc/self/fd")) == before


class Folder:
    """A directory of certificates, and what was taken from it."""

    def __init__(self, path):
        self.path = path
        self.used = []
        self.metrics = Metrics()
        self.mounted = Mounted(path, self.used.append, self.metrics)

    def write(self, pair, authority=AUTHORITY):
        (self.path / "tls.crt").write_bytes(pair.certificate)
        (self.path / "tls.key").write_bytes(pair.key)
        if authority is not None:
            (self.path / "ca.crt").write_bytes(authority.certificate)

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"coalmine_webhook_certificate_{name}", labels)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_files_are_taken_when_they_change(folder):
    folder.write(FIRST)
    folder.mounted.look()
    folder.mounted.look()
    folder.write(SECOND)
    folder.mounted.look()
    assert folder.used == [FIRST, SECOND]
    assert folder.sample("renewals_total") == 2
    serving, authority = (folder.sample("expiry_timestamp_seconds", certificate=c) for c in ("serving", "authority"))
    assert serving < authority
    assert sorted(p.name for p in folder.path.iterdir()) == ["ca.crt", "tls.crt", "tls.key"], "nothing is written"


def test_an_authority_is_not_needed(folder):
    folder.write(FIRST, authority=None)
    folder.mounted.look()
    assert folder.used == [FIRST]
    assert folder.sample("expiry_timestamp_seconds", certificate="authority") is None


def test_a_chain(folder):
    chain = Pair(FIRST.certificate + AUTHORITY.certificate, FIRST.key)
    folder.write(chain)
    folder.mounted.look()
    context = Context()
    context.use(folder.used[0])


def test_half_of_a_change_is_not_taken(folder):
    folder.write(FIRST)
    folder.mounted.look()
    (folder.path / "tls.crt").write_bytes(SECOND.certificate)
    with pytest.raises(ValueError, match=r"tls\.key is not the key of tls\.crt"):
        folder.mounted.look()
    folder.write(SECOND)
    folder.mounted.look()
    assert folder.used == [FIRST, SECOND]


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_what_is_not_there_is_said(folder, name):
    assert folder.mounted.unready() == f"no certificate in {folder.path} yet"
    folder.write(FIRST)
    (folder.path / name).unlink()
    with pytest.raises(ValueError, match=f"has no {name}: mount the Secret with the certificate there"):
        folder.mounted.look()


def test_it_waits_for_the_files_and_counts(folder):
    async def story():
        running = asyncio.ensure_future(folder.mounted.run())
        await asyncio.sleep(0)
        assert folder.sample("failures_total") == 1
        folder.write(FIRST)
        await folder.mounted.loaded.wait()
        assert folder.mounted.unready() == ""
        running.cancel()

    asyncio.run(story())
