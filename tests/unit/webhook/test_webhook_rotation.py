"""The plan for the Secret, as a table over what stands and the time."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from coalmine_webhook.certificates import SKEW, Mint, Pair, expiry, is_of
from coalmine_webhook.rotation import MOST_OLD, Contents, Published, Served, plan, takes

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
SECOND = datetime.timedelta(seconds=1)
SETTLE = 300.0
#: The last moment that a certificate can name.
FOREVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
MINT = Mint(("webhook.svc",))

A, B, STRANGER = (MINT.authority(NOW) for _ in range(3))
OF_A = MINT.serving(A, NOW)
#: A third authority that has begun later, and a moment at which A is to be followed.
TURNING = NOW + 250 * DAY
NEXT = MINT.authority(TURNING)
OF_A_LATER = MINT.serving(A, TURNING)

STANDING = Contents(A, OF_A, published=NOW)
LATE = Contents(A, OF_A_LATER, published=NOW)
FOLLOWED = replace(LATE, upcoming=NEXT)
SEEN = replace(FOLLOWED, upcoming_published=TURNING)
AFTER = Contents(
    NEXT,
    MINT.serving(NEXT, TURNING),
    published=TURNING,
    old=(A.certificate,),
    old_until=expiry(OF_A_LATER.certificate) + SKEW,
)


def named(*pairs):
    certificates = tuple(pair.certificate for pair in pairs)
    return Published(frozenset(certificates), certificates)


def planned(contents, published, now, served=None):
    return plan(contents, published, served, now, MINT, SETTLE)


@pytest.mark.parametrize(
    ("contents", "published", "now"),
    [
        pytest.param(STANDING, named(A), NOW, id="all is well"),
        pytest.param(replace(STANDING, published=None), None, NOW, id="no configuration yet"),
        pytest.param(replace(STANDING, published=None), named(), NOW, id="the configuration is to follow"),
        pytest.param(STANDING, named(), NOW, id="emptied: the configuration is to follow"),
        pytest.param(STANDING, named(A), NOW + 59 * DAY, id="a day before renewal"),
        pytest.param(FOLLOWED, named(A), TURNING, id="the upcoming one is to be published"),
        pytest.param(SEEN, named(A, NEXT), TURNING + 299 * SECOND, id="settling"),
        pytest.param(AFTER, named(NEXT, A), TURNING + 59 * DAY, id="the old one is still trusted"),
    ],
)
def test_nothing_to_do(contents, published, now):
    assert planned(contents, published, now) is None


def test_the_first():
    made = planned(None, None, NOW)
    assert is_of(made.serving.certificate, made.authority.certificate)
    assert made == Contents(made.authority, made.serving)
    assert made.bundle(NOW) == (made.authority.certificate,)
    assert planned(made, Published(), NOW) is None


def test_where_there_was_one_before_it_stays_trusted_until_its_pairs_are_over():
    made = planned(None, named(A, B), NOW)
    assert set(made.old) == {A.certificate, B.certificate}
    assert made.old_until == NOW + 90 * DAY + SKEW
    assert set(made.bundle(NOW)) == {made.authority.certificate, A.certificate, B.certificate}


def test_what_is_served_here_stays_trusted_even_if_nobody_says_so():
    made = planned(None, Published(), NOW, Served(OF_A, A.certificate))
    assert made.old == (A.certificate,)
    adopted = planned(made, Published(), NOW, Served(MINT.serving(B, NOW), B.certificate))
    assert set(adopted.old) == {A.certificate, B.certificate}


def test_when_it_is_seen_in_the_configuration_the_time_is_noted():
    assert planned(replace(STANDING, published=None), named(A), NOW + DAY) == replace(STANDING, published=NOW + DAY)
    assert planned(FOLLOWED, named(A, NEXT), TURNING + DAY) == replace(FOLLOWED, upcoming_published=TURNING + DAY)


def test_seen_in_one_webhook_is_not_published():
    half = Published(frozenset({A.certificate}), (A.certificate, NEXT.certificate))
    assert planned(FOLLOWED, half, TURNING) is None


def test_the_time_begins_again_when_somebody_takes_it_out_meanwhile():
    assert planned(SEEN, named(A), TURNING + DAY) == FOLLOWED


def test_the_serving_pair_is_renewed_at_two_thirds():
    renewed = planned(STANDING, named(A), NOW + 60 * DAY)
    assert renewed == replace(STANDING, serving=renewed.serving)
    assert is_of(renewed.serving.certificate, A.certificate)
    assert expiry(renewed.serving.certificate) == NOW + 150 * DAY


def test_the_authority_is_followed_at_two_thirds():
    contents = Contents(A, MINT.serving(A, NOW + 243 * DAY), published=NOW)
    assert planned(contents, named(A), NOW + 243 * DAY) is None
    following = planned(contents, named(A), NOW + 244 * DAY)
    assert following == replace(contents, upcoming=following.upcoming)
    assert following.bundle(NOW) == (A.certificate, following.upcoming.certificate), "published together"


def test_after_settling_it_signs():
    turned = planned(SEEN, named(A, NEXT), TURNING + 300 * SECOND)
    assert turned == replace(AFTER, serving=turned.serving)
    assert is_of(turned.serving.certificate, NEXT.certificate)


def test_the_old_one_is_withdrawn_once_its_last_pair_is_over():
    end = expiry(OF_A_LATER.certificate)
    contents = replace(AFTER, serving=MINT.serving(NEXT, end))
    assert contents.bundle(end) == (NEXT.certificate, A.certificate)
    assert contents.bundle(end + SKEW) == (NEXT.certificate,)
    assert planned(contents, named(NEXT, A), end + SKEW) is None, "it is withdrawn first"
    assert planned(contents, named(NEXT), end + SKEW) is None, "another replica's clock may be late"
    assert planned(contents, named(NEXT), end + 2 * SKEW) == replace(contents, old=(), old_until=None)


def test_a_person_withdraws_the_old_one_at_once_by_its_time():
    contents = replace(AFTER, old_until=TURNING)
    assert contents.bundle(TURNING + SECOND) == (NEXT.certificate,)
    assert planned(contents, named(NEXT, A), TURNING + SECOND) is None


CUT_OFF = Served(OF_A_LATER, A.certificate)


@pytest.mark.parametrize("old", [(A.certificate,), ()], ids=["withdrawn", "forgotten"])
def test_a_replica_that_was_cut_off_does_not_bring_back_what_a_person_withdrew(old):
    later = TURNING + DAY
    contents = replace(AFTER, old=old, old_until=TURNING if old else None)
    while (following := planned(contents, named(NEXT), later, CUT_OFF)) is not None:
        contents = following
    assert contents == replace(AFTER, old=(), old_until=None)
    assert contents.bundle(later) == (NEXT.certificate,)
    assert takes(contents, CUT_OFF, named(NEXT), later, SETTLE), "it goes on with the new one at once"


def test_what_is_served_here_is_kept_while_nobody_trusts_the_new_one():
    contents = replace(AFTER, old=(), old_until=None)
    assert planned(contents, named(), TURNING + DAY, CUT_OFF).old == (A.certificate,)


def test_a_certificate_without_an_end_is_trusted_without_one():
    endless = Mint(("webhook.svc",), authority_life=FOREVER - TURNING, serving_life=FOREVER - TURNING)
    authority = endless.authority(TURNING)
    contents = replace(SEEN, authority=authority, serving=endless.serving(authority, TURNING))
    turned = planned(contents, named(authority, NEXT), TURNING + 300 * SECOND)
    assert (turned.authority, turned.old_until) == (NEXT, FOREVER)
    assert planned(replace(turned, published=NOW), named(NEXT, authority), TURNING + DAY) is None


def test_a_time_that_somebody_removed_is_the_longest_there_can_be():
    assert planned(replace(AFTER, old_until=None), named(NEXT, A), TURNING).old_until == expiry(A.certificate)
    assert planned(replace(STANDING, old_until=NOW), named(A), NOW) == STANDING


def test_a_stranger_in_the_configuration_is_trusted_for_a_while():
    adopted = planned(STANDING, named(A, STRANGER), NOW + DAY)
    assert adopted == replace(STANDING, old=(STRANGER.certificate,), old_until=NOW + 91 * DAY + SKEW)
    assert planned(adopted, named(A, STRANGER), NOW + DAY) is None


def test_strangers_are_not_collected_without_end():
    contents, published = STANDING, [A]
    for number in range(2 * MOST_OLD):
        published.append(MINT.authority(NOW + number * SECOND))
        while (following := planned(contents, named(*published), NOW + DAY)) is not None:
            contents = following
    assert contents.old == tuple(pair.certificate for pair in reversed(published[-MOST_OLD:]))


@pytest.mark.parametrize(
    "serving",
    [
        pytest.param(Pair(b"", b""), id="absent"),
        pytest.param(Pair(OF_A.certificate, B.key), id="another key"),
        pytest.param(MINT.serving(B, NOW), id="of another authority"),
        pytest.param(MINT.serving(A, NOW - 100 * DAY), id="over"),
        pytest.param(MINT.serving(A, NOW + DAY), id="not yet"),
        pytest.param(Mint(("other.svc",)).serving(A, NOW), id="other names"),
    ],
)
def test_a_pair_that_cannot_be_used_is_made_anew_by_the_same_authority(serving):
    mended = planned(replace(STANDING, serving=serving), named(A), NOW)
    assert mended == replace(STANDING, serving=mended.serving)
    assert planned(mended, named(A), NOW) is None


def test_replicas_that_want_other_names_agree():
    one, two = Mint(("one.svc",)), Mint(("two.svc",))
    contents = Contents(A, one.serving(A, NOW), published=NOW)
    both = plan(contents, named(A), None, NOW, two, SETTLE)
    assert plan(both, named(A), None, NOW, one, SETTLE) is None
    assert plan(both, named(A), None, NOW, two, SETTLE) is None


@pytest.mark.parametrize(
    "authority",
    [
        pytest.param(MINT.authority(NOW - 400 * DAY), id="over"),
        pytest.param(MINT.authority(NOW + DAY), id="not yet"),
        pytest.param(Pair(A.certificate, B.key), id="another key"),
        pytest.param(OF_A, id="no authority"),
    ],
)
def test_an_authority_that_cannot_sign_is_replaced_with_all_that_it_signed(authority):
    made = planned(replace(STANDING, authority=authority, old=(B.certificate,)), named(A), NOW)
    assert is_of(made.serving.certificate, made.authority.certificate)
    assert set(made.old) == {A.certificate, B.certificate}


def test_an_upcoming_one_that_waited_too_long_is_replaced():
    contents = replace(LATE, upcoming=B, upcoming_published=None)
    assert planned(contents, named(A), TURNING) == LATE
    assert planned(LATE, named(A), TURNING).upcoming is not None


def test_a_dead_stretch_of_years():
    later = NOW + 3000 * DAY
    made = planned(SEEN, named(A, NEXT), later)
    assert made == Contents(made.authority, made.serving), "nothing of it can be verified any more"


FRESH = Contents(NEXT, MINT.serving(NEXT, TURNING), old=(A.certificate,), old_until=TURNING + 90 * DAY)
OURS = Served(OF_A_LATER, A.certificate)


@pytest.mark.parametrize(
    ("contents", "served", "published", "now", "taken"),
    [
        pytest.param(STANDING, None, named(A), NOW, True, id="the first"),
        pytest.param(STANDING, None, None, NOW, True, id="the first, before there is a configuration"),
        pytest.param(STANDING, None, named(), NOW, False, id="the first, not published"),
        pytest.param(STANDING, Served(OF_A, A.certificate), named(A), NOW, False, id="served already"),
        pytest.param(LATE, Served(OF_A, A.certificate), named(), TURNING, True, id="renewed"),
        pytest.param(FRESH, OURS, named(A), TURNING, False, id="a new authority, not published"),
        pytest.param(FRESH, OURS, named(A, NEXT), TURNING, False, id="published, not noted"),
        pytest.param(AFTER, OURS, named(A, NEXT), TURNING + 299 * SECOND, False, id="settling"),
        pytest.param(AFTER, OURS, named(A, NEXT), TURNING + 300 * SECOND, True, id="settled"),
        pytest.param(FRESH, OURS, named(A, NEXT), TURNING + 91 * DAY, True, id="ours is over"),
        pytest.param(FRESH, OURS, named(NEXT), TURNING, True, id="ours is trusted by nobody"),
        pytest.param(FRESH, OURS, None, TURNING, False, id="no configuration: nobody asks"),
    ],
)
def test_which_pair_a_replica_serves(contents, served, published, now, taken):
    assert takes(contents, served, published, now, SETTLE) is taken
