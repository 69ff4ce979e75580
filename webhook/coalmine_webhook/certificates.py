"""Certificates: a certificate authority of our own, and serving certificates of it.

Rules: making and judging are functions of the time that is passed in; nothing here touches a disk, a Secret or a
connection. What cannot be read is not good: judging never raises for what somebody else wrote. A private
key is never shown.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coalmine.model.names import SYSTEM_NAMESPACE, WEBHOOK_SERVICE

SERVICE: Final = WEBHOOK_SERVICE

#: A third of it is longer than the serving pair's life: one signed on the last day before the turn is not cut short.
AUTHORITY_LIFE: Final = timedelta(days=365)
#: Short, so that renewal is exercised every two months, and what an authority has signed is soon worth nothing.
SERVING_LIFE: Final = timedelta(days=90)
#: Clocks of API servers, and of our replicas, differ.
SKEW: Final = timedelta(hours=1)
#: Bytes of a bundle that are read. A certificate of ours has some 700 as PEM.
_LARGEST_BUNDLE: Final = 64 << 10
#: What reading somebody else's certificate or key may raise.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_PUBLIC: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"  # a key has no business in a log or a traceback


@dataclass(frozen=True, slots=True)
class Mint:
    """Makes pairs; the serving ones for DNS `names` and IP `addresses`."""

    names: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    authority_life: timedelta = AUTHORITY_LIFE
    serving_life: timedelta = SERVING_LIFE

    def authority(self, now: datetime) -> Pair:
        """A new authority. `now` is aware of its time zone."""
        return make_authority(now, self.authority_life)

    def serving(self, authority: Pair, now: datetime, beside: bytes = b"") -> Pair:
        """A new serving pair, also for what the certificate `beside` is for: another replica may need that."""
        alternatives = dict.fromkeys([*_alternatives(self.names, self.addresses), *_alternatives_of(beside)])
        return _serving(authority, list(alternatives), now, self.serving_life)

    def covers(self, certificate: bytes) -> bool:
        """Whether a certificate is for all our names and addresses."""
        return set(_alternatives(self.names, self.addresses)) <= set(_alternatives_of(certificate))


def service_names(service: str = WEBHOOK_SERVICE, namespace: str = SYSTEM_NAMESPACE) -> tuple[str, ...]:
    """The names of a Service in a cluster; the API server asks for the third."""
    return (service, f"{service}.{namespace}", f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local")


def make_authority(now: datetime, life: timedelta = AUTHORITY_LIFE) -> Pair:
    """A new certificate authority. `now` is aware of its time zone."""
    key = ec.generate_private_key(ec.SECP256R1())
    # a name of its own: where two share one, verifiers look for the issuer by name and may try the wrong one first
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"Coalmine webhook CA {identifier.digest.hex()[:8]}")
    certificate = (
        _builder(name, name, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(Encoding.PEM), _key_pem(key))


def is_whole(pair: Pair) -> bool:
    """Whether the key is that of the (first) certificate."""
    try:
        key = serialization.load_pem_private_key(pair.key, password=None)
        of_key = key.public_key().public_bytes(*_PUBLIC)
        return of_key == _parse(pair.certificate).public_key().public_bytes(*_PUBLIC)
    except _UNREADABLE:
        return False


def is_signer(pair: Pair) -> bool:
    """Whether it is whole, and the key is of the kind that we sign with and that Go's crypto/x509 verifies."""
    if not is_whole(pair):
        return False
    key = serialization.load_pem_private_key(pair.key, password=None)
    return isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES)


def is_authority(certificate: bytes) -> bool:
    """Whether it may sign others."""
    try:
        return _parse(certificate).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except _UNREADABLE:
        return False


def is_of(certificate: bytes, authority: bytes) -> bool:
    """Whether the authority has signed it."""
    try:
        _parse(certificate).verify_directly_issued_by(_parse(authority))
    except _UNREADABLE:
        return False
    return True


def is_current(certificate: bytes, now: datetime) -> bool:
    """Whether its time has come and is not over."""
    try:
        parsed = _parse(certificate)
        return parsed.not_valid_before_utc <= now < parsed.not_valid_after_utc
    except ValueError:
        return False


def is_due(certificate: bytes, now: datetime) -> bool:
    """Whether two thirds of the life of one of ours are over: the last third is for what may go wrong with renewal.

    Counted from when it was made, not from the earlier time that it names: one that is made for minutes, as its
    authority ends, must not be due at once. Raises ValueError for what is no certificate.
    """
    parsed = _parse(certificate)
    begin, end = parsed.not_valid_before_utc + SKEW, parsed.not_valid_after_utc
    return now >= begin + (end - begin) * 2 / 3


def expiry(certificate: bytes) -> datetime:
    """When its time is over. Raises ValueError for what is no certificate."""
    return _parse(certificate).not_valid_after_utc


def authorities(bundle: bytes) -> tuple[bytes, ...]:
    """The authorities of a bundle (PEM), each as we write it, in order; none where it cannot be read."""
    if not bundle.strip() or len(bundle) > _LARGEST_BUNDLE:
        return ()
    try:
        found = [parsed.public_bytes(Encoding.PEM) for parsed in x509.load_pem_x509_certificates(bundle)]
    except ValueError:
        return ()
    return tuple(dict.fromkeys(pem for pem in found if is_authority(pem)))


def newest(certificates: Sequence[bytes], count: int) -> tuple[bytes, ...]:
    """The `count` that began last, the newest first."""
    return tuple(sorted(certificates, key=lambda pem: _parse(pem).not_valid_before_utc, reverse=True)[:count])


def ca_bundle(*certificates: bytes) -> str:
    """The value of ``caBundle``: certificates (PEM) that may have signed, in base64."""
    return base64.b64encode(b"".join(pem.strip() + b"\n" for pem in certificates)).decode()


@functools.lru_cache(maxsize=64)
def _parse(pem: bytes) -> x509.Certificate:
    """Kept, as the same few are judged every few seconds. Raises ValueError."""
    return x509.load_pem_x509_certificate(pem)


def _serving(authority: Pair, alternatives: Sequence[x509.GeneralName], now: datetime, life: timedelta) -> Pair:
    issuer = _parse(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not one of an elliptic curve")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(
            _name(WEBHOOK_SERVICE), issuer.subject, key.public_key(), now, min(life, issuer.not_valid_after_utc - now)
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(Encoding.PEM), _key_pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str], addresses: Sequence[str]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    ]


def _alternatives_of(certificate: bytes) -> list[x509.GeneralName]:
    try:
        return list(_parse(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except _UNREADABLE:
        return []


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
