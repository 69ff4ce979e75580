"""Certificates: what is made verifies, what is judged is judged by its time, its key and its names."""

from __future__ import annotations

import base64
import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from coalmine_webhook import certificates
from coalmine_webhook.certificates import Mint, Pair, authorities, ca_bundle, make_authority, newest, service_names

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
MINT = Mint(service_names(), ("127.0.0.1", "::1"))
AUTHORITY = MINT.authority(NOW)
SERVING = MINT.serving(AUTHORITY, NOW)
OTHER = make_authority(NOW)


def test_what_is_made():
    assert certificates.is_whole(AUTHORITY)
    assert certificates.is_whole(SERVING)
    assert certificates.is_authority(AUTHORITY.certificate)
    assert not certificates.is_authority(SERVING.certificate)
    assert certificates.is_of(SERVING.certificate, AUTHORITY.certificate)
    assert not certificates.is_of(SERVING.certificate, OTHER.certificate)
    assert MINT.covers(SERVING.certificate)


def test_the_names_that_an_api_server_asks_for():
    assert "coalmine-webhook.coalmine-system.svc" in service_names()
    assert "coalmine-webhook.elsewhere.svc" in service_names(namespace="elsewhere")


def test_a_new_pair_is_also_for_what_another_replica_needs():
    wanted = Mint(("a.example",)).serving(AUTHORITY, NOW, beside=SERVING.certificate)
    assert MINT.covers(wanted.certificate)
    assert Mint(("a.example",)).covers(wanted.certificate)
    assert not Mint(("a.example",)).covers(SERVING.certificate)


@pytest.mark.parametrize(
    ("pair", "whole"),
    [
        (Pair(AUTHORITY.certificate, SERVING.key), False),
        (Pair(b"", b""), False),
        (Pair(b"x", AUTHORITY.key), False),
        (Pair(AUTHORITY.certificate, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), False),
        (Pair(SERVING.certificate + AUTHORITY.certificate, SERVING.key), True),
    ],
)
def test_whole(pair, whole):
    assert certificates.is_whole(pair) is whole


def test_a_pair_of_another_kind_of_key_is_as_good():
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + DAY)
    certificate = builder.sign(key, certificates.hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert certificates.is_whole(Pair(certificate.public_bytes(Encoding.PEM), pem))
    assert not certificates.is_authority(certificate.public_bytes(Encoding.PEM)), "it does not say that it is one"


@pytest.mark.parametrize(
    ("days", "current", "due"),
    [(-1, False, False), (0, True, False), (59, True, False), (60, True, True), (90, False, True)],
)
def test_times(days, current, due):
    moment = NOW + days * DAY
    assert certificates.is_current(SERVING.certificate, moment) is current
    assert certificates.is_due(SERVING.certificate, moment) is due


def test_one_that_is_made_for_minutes_is_not_due_at_once():
    late = certificates.expiry(AUTHORITY.certificate) - datetime.timedelta(minutes=9)
    pair = MINT.serving(AUTHORITY, late)
    assert certificates.expiry(pair.certificate) == certificates.expiry(AUTHORITY.certificate), "and ends with it"
    assert not certificates.is_due(pair.certificate, late + datetime.timedelta(minutes=5))
    assert certificates.is_due(pair.certificate, late + datetime.timedelta(minutes=7))


def test_bundles():
    decoded = base64.b64decode(ca_bundle(AUTHORITY.certificate, OTHER.certificate))
    assert authorities(decoded) == (AUTHORITY.certificate, OTHER.certificate)
    assert len(ssl.create_default_context(cadata=decoded.decode()).get_ca_certs()) == 2
    assert authorities(SERVING.certificate + b"\n" + OTHER.certificate) == (OTHER.certificate,), "only authorities"
    assert authorities(OTHER.certificate * 3) == (OTHER.certificate,)


@pytest.mark.parametrize("junk", [b"", b"\n", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_that_cannot_be_read_names_nobody(junk):
    assert authorities(junk) == ()
    assert not certificates.is_authority(junk)
    assert not certificates.is_of(junk, AUTHORITY.certificate)
    assert not certificates.is_current(junk, NOW)
    assert not MINT.covers(junk)


def test_a_bundle_beyond_all_measure_is_not_read():
    assert authorities(OTHER.certificate * 200) == ()


def test_the_newest():
    later = make_authority(NOW + DAY).certificate
    assert newest([AUTHORITY.certificate, later], 1) == (later,)
    assert newest([], 3) == ()


def test_a_key_is_not_shown():
    assert "PRIVATE" not in repr(AUTHORITY)
