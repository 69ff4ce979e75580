"""Who a request comes from: a client certificate's subject, or a service account's token.

Rules:
- A token is a JWT (RFC 7519) signed with ES256 by the key that this server was given; no other algorithm is looked at.
- It is good while its service account exists with the uid that it was made for, until it expires.
- Tokens are never logged, nor told in an error.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from coalmine.kube.resources import SERVICE_ACCOUNTS, uid_of
from coalmine_sandbox.api.admission.attributes import Reader
from coalmine_sandbox.api.user import AUTHENTICATED, User, service_account

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
#: Bounds of TokenRequest's expirationSeconds (pkg/apis/authentication/validation).
SHORTEST: Final = 600
LONGEST: Final = 1 << 32
#: Ours are under a KiB; a longer text is not even decoded.
_LONGEST_TOKEN: Final = 8192
#: Bytes of each of a P-256 signature's two numbers.
_NUMBER: Final = 32
_PREFIX: Final = "system:serviceaccount:"


class Tokens:
    """Issues tokens and reads them."""

    def __init__(self, reader: Reader, key: bytes, clock: Callable[[], float], chance: Random) -> None:
        """`key` is a P-256 private key as PEM, `clock` the Unix time. Raises ValueError for another key."""
        private = serialization.load_pem_private_key(key, None)
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise ValueError("the key for service account tokens must be one of the curve P-256")  # noqa: TRY004
        self._reader = reader
        self._key = private
        self._public = private.public_key()
        self._clock = clock
        self._chance = chance
        encoded = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._header = _encode({"alg": "ES256", "kid": _base64(hashlib.sha256(encoded).digest())})

    def issue(self, namespace: str, name: str, uid: str, seconds: float, audiences: Iterable[str] = ()) -> str:
        """A token of a service account, good for so many seconds from now."""
        now = int(self._clock())
        claims = {
            "aud": list(audiences) or [ISSUER],
            "exp": now + int(seconds),
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
            "nbf": now,
            "sub": f"{_PREFIX}{namespace}:{name}",
        }
        signed = f"{self._header}.{_encode(claims)}"
        one, other = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(one.to_bytes(_NUMBER) + other.to_bytes(_NUMBER))}"

    def user_of(self, token: str) -> User | None:
        """The service account that a token is of; None for one that is not good (any more)."""
        claims = self._claims(token)
        if claims is None:
            return None
        try:
            about = claims["kubernetes.io"]
            namespace, account = about["namespace"], about["serviceaccount"]
            good = claims["nbf"] <= self._clock() < claims["exp"]
            ours = claims["iss"] == ISSUER and ISSUER in claims["aud"]
            name, uid = account["name"], account["uid"]
        except (KeyError, TypeError):
            return None
        if not (good and ours):
            return None
        found = self._reader.get(SERVICE_ACCOUNTS, namespace, name)
        if found is None or uid_of(found) != uid:
            return None
        return service_account(namespace, name, uid)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """What a token says, if its signature is ours."""
        parts = token.split(".")
        # the header is compared, not read: a token names neither its algorithm nor its key
        if len(token) > _LONGEST_TOKEN or len(parts) != 3 or parts[0] != self._header:
            return None
        try:
            signature = _decode(parts[2])
            if len(signature) != 2 * _NUMBER:
                return None
            numbers = (int.from_bytes(signature[:_NUMBER]), int.from_bytes(signature[_NUMBER:]))
            signed = f"{parts[0]}.{parts[1]}".encode()
            self._public.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
            claims = json.loads(_decode(parts[1]))
        except (ValueError, binascii.Error, InvalidSignature):
            return None
        return claims if isinstance(claims, dict) else None


def user_of_certificate(certificate: bytes) -> User | None:
    """Whom a client certificate (DER), which TLS has verified, is of: its common name, its organisations as groups.

    None where it names nobody.
    """
    subject = x509.load_der_x509_certificate(certificate).subject
    names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return User(names[0], (*groups, AUTHENTICATED)) if names and names[0] else None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode(value: object) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
