"""Certificates: made once, used again while good, made anew when not."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from coalmine_webhook.certificates import Pair, ca_bundle, ensure, make_authority, make_serving, service_names

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = service_names()
ADDRESSES = ("127.0.0.1", "::1")


def serial(path):
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def test_files_and_modes(tmp_path):
    files = ensure(tmp_path / "certs", NAMES, ADDRESSES, NOW)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "certs").iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "tls.crt": 0o644, "tls.key": 0o600}
    assert files.authority == (tmp_path / "certs" / "ca.crt").read_bytes()


def test_used_again_while_good(tmp_path):
    files = ensure(tmp_path, NAMES, ADDRESSES, NOW)
    before = (serial(files.certificate), files.authority)
    later = ensure(tmp_path, NAMES, ADDRESSES[:1], NOW + timedelta(days=300))
    assert (serial(later.certificate), later.authority) == before


@pytest.mark.parametrize("spoil", ["time", "names", "addresses", "key", "garbage", "gone"])
def test_made_anew_under_the_same_authority(tmp_path, spoil):
    files = ensure(tmp_path, NAMES, ADDRESSES, NOW)
    before = (serial(files.certificate), files.authority)
    if spoil == "key":
        files.key.write_bytes(make_authority(NOW).key)
    if spoil == "garbage":
        files.certificate.write_bytes(b"x")
    if spoil == "gone":
        files.key.unlink()
    later = ensure(
        tmp_path,
        (*NAMES, "other.example") if spoil == "names" else NAMES,
        ("127.0.0.2",) if spoil == "addresses" else ADDRESSES,
        NOW + timedelta(days=340) if spoil == "time" else NOW,
    )
    assert serial(later.certificate) != before[0]
    assert later.authority == before[1]


def test_an_old_authority_is_made_anew_with_what_it_signed(tmp_path):
    files = ensure(tmp_path, NAMES, ADDRESSES, NOW)
    later = ensure(tmp_path, NAMES, ADDRESSES, NOW + timedelta(days=3640))
    assert later.authority != files.authority
    serving = x509.load_pem_x509_certificate(later.certificate.read_bytes())
    serving.verify_directly_issued_by(x509.load_pem_x509_certificate(later.authority))


def test_a_serving_certificate_never_outlives_its_authority():
    authority = make_authority(NOW)
    pair = make_serving(authority, NAMES, (), NOW + timedelta(days=3600))
    end = x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc
    assert end == x509.load_pem_x509_certificate(authority.certificate).not_valid_after_utc


def test_old_and_new_authority_in_one_bundle():
    one, two = make_authority(NOW).certificate, make_authority(NOW).certificate
    assert len(x509.load_pem_x509_certificates(base64.b64decode(ca_bundle(one, two)))) == 2


def test_a_key_is_not_shown():
    assert "PRIVATE" not in repr(Pair(b"c", b"-----BEGIN PRIVATE KEY-----"))
