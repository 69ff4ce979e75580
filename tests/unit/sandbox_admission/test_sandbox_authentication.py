"""Tokens and client certificates."""

from __future__ import annotations

import base64
import json
import random
import ssl
from typing import Any

import pytest
from admission_world import Memory, authority
from hypothesis import given
from hypothesis import strategies as st

from coalmine.kube.resources import SERVICE_ACCOUNTS
from coalmine_sandbox.api.authentication import Tokens, user_of_certificate
from coalmine_sandbox.api.user import User
from coalmine_sandbox.certificates import signing_key

KEY, _ = signing_key()
BOB = User(
    "system:serviceaccount:ns:bob",
    ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
    "u1",
)


class World:
    """A service account, and a clock that stands still."""

    def __init__(self) -> None:
        self.store = Memory()
        self.now = 1_700_000_000.5
        self.account("u1")

    def account(self, uid: str) -> None:
        self.store.put(SERVICE_ACCOUNTS, {"metadata": {"name": "bob", "namespace": "ns", "uid": uid}})

    def tokens(self, key: bytes = KEY) -> Tokens:
        return Tokens(self.store, key, lambda: self.now, random.Random(1))


def test_a_token_is_its_accounts() -> None:
    world = World()
    token = world.tokens().issue("ns", "bob", "u1", 600)
    assert world.tokens().user_of(token) == BOB
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims.pop("jti")
    assert claims == {
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "exp": 1_700_000_600,
        "iat": 1_700_000_000,
        "iss": "https://kubernetes.default.svc.cluster.local",
        "kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "bob", "uid": "u1"}},
        "nbf": 1_700_000_000,
        "sub": "system:serviceaccount:ns:bob",
    }


def test_a_token_expires() -> None:
    world = World()
    tokens = world.tokens()
    token = tokens.issue("ns", "bob", "u1", 600)
    for seconds, good in ((599, True), (1, False), (-700, False)):
        world.now += seconds
        assert (tokens.user_of(token) is not None) is good


def test_a_token_ends_with_its_account() -> None:
    world = World()
    tokens = world.tokens()
    token = tokens.issue("ns", "bob", "u1", 600)
    world.account("another")
    assert tokens.user_of(token) is None
    world.store.delete(SERVICE_ACCOUNTS, "ns", "bob")
    assert tokens.user_of(token) is None


def test_a_token_for_others_is_not_for_us() -> None:
    world = World()
    tokens = world.tokens()
    assert tokens.user_of(tokens.issue("ns", "bob", "u1", 600, ["vault"])) is None


def encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_forgeries() -> None:
    world = World()
    tokens = world.tokens()
    good = tokens.issue("ns", "bob", "u1", 600)
    header, claims, signature = good.split(".")
    other, _ = signing_key()
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    for forged in (
        world.tokens(other).issue("ns", "bob", "u1", 600),
        f"{header}.{encode({**said, 'exp': 1 << 40})}.{signature}",
        f"{encode({'alg': 'none'})}.{claims}.",
        f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{claims}.{signature}",
        f"{header}.{claims}.",
        f"{header}.{claims}.{signature[:-4]}",
        f"{header}.{claims}.{'A' * 86}",
        f"{header}.{claims}",
        good + ".",
        good[:-1] + "ü",
        "",
        "." * 3,
        "x" * 100_000,
    ):
        assert tokens.user_of(forged) is None


@given(st.text(max_size=300))
def test_no_text_ends_in_an_error(text: str) -> None:
    tokens = World().tokens()
    header = tokens.issue("ns", "bob", "u1", 600).split(".")[0]
    assert tokens.user_of(text) is None
    assert tokens.user_of(f"{header}.{text}") is None
    assert tokens.user_of(f"{header}.{text}.{text}") is None


def test_a_key_of_another_curve_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP384R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="P-256"):
        World().tokens(pem)


def test_a_certificates_subject_is_its_user() -> None:
    signer = authority()
    pair = signer.issue("ann", groups=["system:masters", "devs"])
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    assert user_of_certificate(der) == User("ann", ("system:masters", "devs", "system:authenticated"))
    nobody = ssl.PEM_cert_to_DER_cert(signer.issue("a", groups=[]).certificate.decode())
    assert user_of_certificate(nobody) == User("a", ("system:authenticated",))
