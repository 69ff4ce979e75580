"""The Secret and the configuration as objects: there and back, and what others have written."""

from __future__ import annotations

import base64
import datetime

import jsonpatch
import pytest

from coalmine.model import names
from coalmine_webhook import registration
from coalmine_webhook.certificates import Mint, Pair, ca_bundle
from coalmine_webhook.rotation import Contents, Published
from coalmine_webhook.secret import decode, encode, fresh

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
MINT = Mint(("webhook.svc",))
A, B, C = (MINT.authority(NOW) for _ in range(3))
FULL = Contents(
    A,
    MINT.serving(A, NOW),
    published=NOW,
    upcoming=B,
    upcoming_published=NOW + datetime.timedelta(days=1),
    old=(C.certificate,),
    old_until=NOW + datetime.timedelta(days=2),
)
BARE = Contents(A, FULL.serving)


def made(contents=FULL):
    return fresh("ns", "certs", contents)


def test_there_and_back():
    assert decode(made()) == FULL
    assert decode(made(BARE)) == BARE
    assert decode(encode(made(), BARE)) == BARE, "nothing of the former is left"


def test_what_it_looks_like():
    found = made()
    assert sorted(found["data"]) == [
        *("ca.crt", "ca.key", "next-ca.crt", "next-ca.key", "old-ca.crt", "tls.crt", "tls.key"),
    ]
    assert (found["kind"], found["type"]) == ("Secret", "Opaque")
    assert found["metadata"]["annotations"] == {
        names.CA_PUBLISHED: "2026-01-01T00:00:00Z",
        names.NEXT_CA_PUBLISHED: "2026-01-02T00:00:00Z",
        names.OLD_CA_UNTIL: "2026-01-03T00:00:00Z",
    }


def spoiled(key, text):
    found = made()
    found["data"][key] = text
    return found


@pytest.mark.parametrize("key", ["ca.crt", "ca.key"])
@pytest.mark.parametrize("text", ["", "%", "eA==", base64.b64encode(B.key).decode(), None, 7])
def test_without_an_authority_and_its_key_it_is_worth_nothing(key, text):
    assert decode(spoiled(key, text)) is None


@pytest.mark.parametrize("key", ["tls.crt", "tls.key", "next-ca.crt", "next-ca.key", "old-ca.crt"])
def test_what_cannot_be_read_is_not_there(key):
    found = decode(spoiled(key, "eA=="))
    assert found.authority == A
    if key.startswith("tls"):
        assert found.serving != FULL.serving
    elif key.startswith("next"):
        assert (found.upcoming, found.upcoming_published) == (None, None)
    else:
        assert found.old == ()


@pytest.mark.parametrize("text", ["", "soon", "2026-01-01", "99999-01-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_time_that_is_none(text):
    found = made()
    found["metadata"]["annotations"][names.CA_PUBLISHED] = text
    assert decode(found).published is None


@pytest.mark.parametrize("obj", [{"metadata": {}}, {"metadata": {}, "data": None}])
def test_an_empty_one(obj):
    assert decode(obj) is None


def test_a_chain_is_no_authority_of_ours():
    chain = Pair(A.certificate + C.certificate, A.key)
    found = made()
    found["data"]["ca.crt"] = base64.b64encode(chain.certificate).decode()
    assert decode(found) is None


def configuration(*bundles):
    webhooks = [{"name": f"w{n}", "clientConfig": {"url": "u", "caBundle": b}} for n, b in enumerate(bundles)]
    return {"metadata": {"name": "coalmine", "resourceVersion": "7"}, "webhooks": webhooks}


BOTH = ca_bundle(A.certificate, B.certificate)


@pytest.mark.parametrize(
    ("obj", "everywhere", "anywhere"),
    [
        ({}, (), ()),
        (configuration(), (), ()),
        (configuration("", ""), (), ()),
        (configuration(BOTH, BOTH), (A, B), (A, B)),
        (configuration(BOTH, ca_bundle(B.certificate)), (B,), (A, B)),
        (configuration(BOTH, ""), (), (A, B)),
        (configuration(BOTH, "%"), (), (A, B)),
        ({"webhooks": [{"name": "w"}]}, (), ()),
    ],
)
def test_who_is_trusted(obj, everywhere, anywhere):
    certificates = [tuple(pair.certificate for pair in pairs) for pairs in (everywhere, anywhere)]
    assert registration.read(obj) == Published(frozenset(certificates[0]), certificates[1])


def test_the_patch_changes_bundles_alone_and_only_of_this_version():
    before = configuration(BOTH, "", ca_bundle(B.certificate))
    operations = registration.patch(before, (A.certificate, B.certificate))
    after = jsonpatch.apply_patch(before, operations)
    assert after == configuration(BOTH, BOTH, BOTH)
    assert len(operations) == 3, "the first one is right already"
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch({**before, "metadata": {"resourceVersion": "8"}}, operations)
    assert registration.patch(after, (A.certificate, B.certificate)) == []
