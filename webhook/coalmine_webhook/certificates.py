"""The webhook's certificates: a certificate authority of our own, and a serving certificate of it.

Rules: making and judging are pure functions of the time that is passed in; only `ensure` touches
the disk. A private key is written with mode 0600 from its first byte, and never logged. A file is
put in place whole. What is still good is used again, so that a restart changes nothing for the API server.

Laid out for the Secret that a later version keeps: `Pair` is what goes into one, `is_good` says when to
renew, and `ca_bundle` takes several authorities, as old and new must be published together.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coalmine.model.names import SYSTEM_NAMESPACE

SERVICE: Final = "coalmine-webhook"

_AUTHORITY_LIFE: Final = timedelta(days=3650)
_SERVING_LIFE: Final = timedelta(days=365)
#: Renewed with a month to go: nobody has to be quick.
_RENEW_BEFORE: Final = timedelta(days=30)
#: Clocks of API servers differ from ours.
_BACKDATED: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"  # a key has no business in a log or a traceback


@dataclass(frozen=True, slots=True)
class Files:
    """Where the serving pair lies, and the authority's certificate (PEM) for who is to trust it."""

    certificate: Path
    key: Path
    authority: bytes


def service_names(service: str = SERVICE, namespace: str = SYSTEM_NAMESPACE) -> tuple[str, ...]:
    """The names of a Service in a cluster; the API server asks for the third."""
    return (service, f"{service}.{namespace}", f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local")


def ca_bundle(*authorities: bytes) -> str:
    """The value of ``caBundle``: certificates (PEM) that may have signed, in base64."""
    return base64.b64encode(b"".join(pem.strip() + b"\n" for pem in authorities)).decode()


def make_authority(now: datetime) -> Pair:
    """A new certificate authority, good for ten years. `now` is aware of its time zone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Coalmine webhook CA")
    certificate = (
        _builder(name, name, key.public_key(), now, _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def make_serving(authority: Pair, names: Sequence[str], addresses: Sequence[str], now: datetime) -> Pair:
    """A serving certificate for DNS names and IP addresses, good for a year."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = _load_key(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(_SERVING_LIFE, issuer.not_valid_after_utc - now)
    certificate = (
        _builder(_name(SERVICE), issuer.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names, addresses)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def is_good(pair: Pair, now: datetime, *, authority: bytes, names: Sequence[str], addresses: Sequence[str]) -> bool:
    """Whether a serving pair is whole, of this authority, for all these names, and far from its end."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        whole = _load_key(pair.key).public_key() == certificate.public_key()
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return whole and _in_time(certificate, now) and set(_alternatives(names, addresses)) <= set(alternatives)


def is_good_authority(pair: Pair, now: datetime) -> bool:
    """Whether an authority's pair is whole and far from its end."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        return _load_key(pair.key).public_key() == certificate.public_key() and _in_time(certificate, now)
    except (ValueError, TypeError):
        return False


def ensure(directory: Path, names: Sequence[str], addresses: Sequence[str], now: datetime) -> Files:
    """Load what is good in `directory`, make what is not. One process writes a directory.

    The files are ``ca.crt``, ``ca.key``, ``tls.crt`` and ``tls.key``.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _load(directory, "ca")
    if authority is None or not is_good_authority(authority, now):
        authority = make_authority(now)
        _save(directory, "ca", authority)
    serving = _load(directory, "tls")
    if serving is None or not is_good(serving, now, authority=authority.certificate, names=names, addresses=addresses):
        _save(directory, "tls", make_serving(authority, names, addresses, now))
    return Files(directory / "tls.crt", directory / "tls.key", authority.certificate)


def _load(directory: Path, stem: str) -> Pair | None:
    try:
        return Pair((directory / f"{stem}.crt").read_bytes(), (directory / f"{stem}.key").read_bytes())
    except FileNotFoundError:
        return None


def _save(directory: Path, stem: str, pair: Pair) -> None:
    # the key first: a crash in between leaves a pair that is not whole, and that is made anew
    _write(directory / f"{stem}.key", pair.key, 0o600)
    _write(directory / f"{stem}.crt", pair.certificate, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
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


def _in_time(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _RENEW_BEFORE


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the key is not one of an elliptic curve")
    return key
