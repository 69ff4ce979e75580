"""Whatever a person writes into the Secret: the plan comes to an end, and what is served can be verified."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model import names
from coalmine_webhook import secret
from coalmine_webhook.certificates import Mint, Pair, expiry, is_current, is_of, is_signer, is_whole
from coalmine_webhook.rotation import Contents, Published, plan

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
MINT = Mint(("webhook.svc",))
SETTLE = 300.0

KEYS = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "rsa": rsa.generate_private_key(65537, 2048),
    "dsa": dsa.generate_private_key(2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
}
SIGNERS = ("P-256", "P-384", "P-521")
BEGINNINGS = [datetime.datetime(1950, 1, 1), datetime.datetime(2025, 12, 31), datetime.datetime(9999, 12, 31)]
ENDS = [datetime.datetime(2026, 3, 1), datetime.datetime(9999, 12, 31, 23, 59, 59)]
STAMPS = [
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2026-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "tomorrow",
    "",
]


def signed(kind, by, begin, end, *, authority):
    """A pair of a kind of key, signed by the key of another."""
    key, issuer = KEYS[kind], KEYS[by]
    builder = x509.CertificateBuilder().serial_number(1).public_key(key.public_key())
    builder = builder.subject_name(named("ca" if authority else "webhook")).issuer_name(named("ca"))
    builder = builder.not_valid_before(begin).not_valid_after(max(begin, end))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("webhook.svc")]), critical=False)
    plain = isinstance(issuer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    certificate = builder.sign(issuer, None if plain else hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), pem)


def named(common):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


KINDS = st.sampled_from(sorted(KEYS))
AUTHORITIES = st.builds(
    lambda kind, begin, end: (kind, signed(kind, kind, begin, end, authority=True)),
    KINDS,
    st.sampled_from(BEGINNINGS),
    st.sampled_from(ENDS),
)
TIMES = st.none() | st.sampled_from(STAMPS)


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_what_we_sign_with(kind):
    pair = signed(kind, kind, BEGINNINGS[1], ENDS[1], authority=True)
    assert is_whole(pair)
    assert is_signer(pair) is (kind in SIGNERS)


@settings(deadline=None)
@given(
    st.tuples(AUTHORITIES, KINDS, st.sampled_from(BEGINNINGS), st.sampled_from(ENDS)),
    st.none() | AUTHORITIES,
    st.none() | AUTHORITIES,
    st.tuples(TIMES, TIMES, TIMES),
)
def test_the_plan_comes_to_an_end(written, upcoming, old, stamps):
    (kind, authority), serving, begin, end = written
    written_by_hand = secret.fresh(
        "coalmine-system",
        "certificates",
        Contents(
            authority,
            signed(serving, kind, begin, end, authority=False),
            upcoming=None if upcoming is None else upcoming[1],
            old=() if old is None else (old[1].certificate,),
        ),
    )
    annotations = written_by_hand["metadata"]["annotations"]
    keys = (names.CA_PUBLISHED, names.NEXT_CA_PUBLISHED, names.OLD_CA_UNTIL)
    annotations |= {key: stamp for key, stamp in zip(keys, stamps, strict=True) if stamp is not None}

    found, now = written_by_hand, NOW
    published = Published()
    for _ in range(24):
        contents = secret.decode(found)
        following = plan(contents, published, None, now, MINT, SETTLE)
        if following is not None:
            found = secret.encode(found, following)
            assert secret.decode(found).old_until == following.old_until, "what is written is what is read"
            continue
        bundle = contents.bundle(now)
        if published.anywhere == bundle:
            break
        published, now = Published(frozenset(bundle), bundle), now + datetime.timedelta(seconds=SETTLE)
    else:
        raise AssertionError("it goes on for ever")
    assert is_signer(contents.authority)
    assert is_current(contents.serving.certificate, now)
    assert is_of(contents.serving.certificate, contents.authority.certificate)
    assert contents.authority.certificate in published.everywhere
    assert expiry(contents.serving.certificate) > now
