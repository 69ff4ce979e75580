"""How the certificates go on: what is in the Secret, what the configuration is to say, and which pair a replica serves.

PURE; keys are made by the `Mint` that is passed in. It knows neither Secrets nor webhook configurations: `Contents` and
`Published` are what they say.

The rule that all others serve: **a serving pair is verified against the published bundle by every API server,
at every instant**, whatever replica serves it and whenever one of them dies. So
- an authority is published before anything that it signed is served, and is withdrawn after everything that
  it signed has expired (a replica that cannot be reached may go on serving its pair until then);
- between publishing and serving lies a time in which API servers learn of it (`settle`);
- all of it is state: a step is taken because of what stands in the Secret and the configuration, never
  because of what this process did before. A replica that dies at any line is followed by any other.

An authority's way, each arrow one guarded write:

    made as upcoming -> seen in the configuration (a time is noted) -> settled: signs the serving pair; the one before
    is old -> its last serving pair has expired: no longer published -> gone from the configuration: forgotten

What is published (or served here) and is not in the Secret was put there by somebody: by another replica before the
Secret was deleted, by cert-manager, by hand. Somebody may serve a pair of it, so it becomes an old one first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from coalmine_webhook.certificates import (
    SKEW,
    Mint,
    Pair,
    expiry,
    is_authority,
    is_current,
    is_due,
    is_of,
    is_signer,
    is_whole,
    newest,
)

#: Authorities before the one that signs. One is usual, two after a turn that a person asked for; a bundle is read by
#: every API server for every connection, and nobody deletes the Secret eight times in ninety days for a good reason.
MOST_OLD: Final = 8


@dataclass(frozen=True, slots=True)
class Contents:
    """What the Secret holds. Certificates are spelled as `certificates.authorities` does, so that they compare."""

    #: Has signed the serving pair.
    authority: Pair
    serving: Pair
    #: Since when the configuration is known to name the authority; None: not yet.
    published: datetime | None = None
    #: The authority that is to follow; it has signed nothing.
    upcoming: Pair | None = None
    upcoming_published: datetime | None = None
    #: Certificates of authorities before, the newest first, trusted until a time.
    old: tuple[bytes, ...] = ()
    old_until: datetime | None = None

    def bundle(self, now: datetime) -> tuple[bytes, ...]:
        """The authorities that the configuration is to name, in its order."""
        upcoming = () if self.upcoming is None else (self.upcoming.certificate,)
        return (self.authority.certificate, *upcoming, *(() if self._over(now) else self.old))

    def knows(self, certificate: bytes) -> bool:
        upcoming = self.upcoming is not None and certificate == self.upcoming.certificate
        return upcoming or certificate == self.authority.certificate or certificate in self.old

    def _over(self, now: datetime) -> bool:
        return self.old_until is not None and now >= self.old_until


@dataclass(frozen=True, slots=True)
class Published:
    """The authorities that the configuration names: in each of its webhooks, and in at least one."""

    everywhere: frozenset[bytes] = frozenset()
    anywhere: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """The pair that a replica has in use, and the authority that signed it."""

    pair: Pair
    authority: bytes


def plan(
    contents: Contents | None,
    published: Published | None,
    served: Served | None,
    now: datetime,
    mint: Mint,
    settle: float,
) -> Contents | None:
    """What the Secret is to hold next; None: it is as it should be, and the configuration may follow.

    `contents` is None where there is no Secret, or nothing in it that can be used; `published` is None where there is
    no configuration; `served` is what this replica serves. `settle` is in seconds. One step at a time: ask again
    after each.
    """
    named = Published() if published is None else published
    if served is not None and served.authority not in named.anywhere and not _follows(contents, named):
        named = replace(named, anywhere=(*named.anywhere, served.authority))
    if contents is None or not _can_sign(contents.authority, now):
        return _made_anew(contents, named, now, mint)
    return (
        _adopted(contents, named, now, mint)
        or _with_usable_serving(contents, now, mint)
        or _noted(contents, named, now)
        or _upcoming(contents, now, mint)
        or _turned(contents, named, now, mint, settle)
        or _renewed(contents, now, mint)
        or _forgotten(contents, named, now)
    )


def _follows(contents: Contents | None, published: Published) -> bool:
    """Whether a replica can go on with the Secret's pair at once, so that what it serves need not be kept alive.

    One that was cut off may come back with a pair of an authority that a person has withdrawn meanwhile, as its key was
    stolen: to adopt that would put it back for the life of a pair.
    """
    return contents is not None and contents.authority.certificate in published.everywhere


def takes(contents: Contents, served: Served | None, published: Published | None, now: datetime, settle: float) -> bool:
    """Whether a replica is to serve the pair of the Secret from now on.

    A replica with nothing to serve takes it as soon as it is published, and needs no settling: a pair that a late API
    server refuses for a moment is no worse than none.
    """
    authority = contents.authority.certificate
    if served is not None and served.pair == contents.serving:
        return False
    if served is not None and served.authority == authority:
        return True  # a new pair of the authority that we serve already
    if published is not None and authority not in published.everywhere:
        return False
    if served is None or not is_current(served.pair.certificate, now):
        return True
    if published is not None and served.authority not in published.everywhere:
        return True
    return _settled(contents.published, now, settle)


def _made_anew(contents: Contents | None, published: Published, now: datetime, mint: Mint) -> Contents:
    """Whoever serves a pair of an authority that is published may go on with it."""
    before = tuple(dict.fromkeys((*published.anywhere, *(contents.old if contents is not None else ()))))
    old = newest([pem for pem in before if is_current(pem, now)], MOST_OLD)
    authority = mint.authority(now)
    return Contents(
        authority,
        mint.serving(authority, now),
        old=old,
        old_until=now + mint.serving_life + SKEW if old else None,
    )


def _adopted(contents: Contents, published: Published, now: datetime, mint: Mint) -> Contents | None:
    strangers = [pem for pem in published.anywhere if not contents.knows(pem) and is_current(pem, now)]
    old = newest([*contents.old, *strangers], MOST_OLD)
    if not strangers or old == contents.old:
        return None
    return replace(contents, old=old, old_until=_later(contents.old_until, now + mint.serving_life + SKEW))


def _with_usable_serving(contents: Contents, now: datetime, mint: Mint) -> Contents | None:
    """A pair that nobody can use is replaced at once; one that lacks names, by one that has both."""
    pair, authority = contents.serving, contents.authority
    usable = is_whole(pair) and is_of(pair.certificate, authority.certificate) and is_current(pair.certificate, now)
    if usable and mint.covers(pair.certificate):
        return None
    return replace(contents, serving=mint.serving(authority, now, beside=pair.certificate if usable else b""))


def _noted(contents: Contents, published: Published, now: datetime) -> Contents | None:
    """When the authorities were first seen in the configuration; the upcoming one must have stayed there since."""
    if contents.published is None and contents.authority.certificate in published.everywhere:
        return replace(contents, published=now)
    if contents.upcoming is None:
        return None
    seen = contents.upcoming.certificate in published.everywhere
    if seen == (contents.upcoming_published is not None):
        return None
    return replace(contents, upcoming_published=now if seen else None)


def _upcoming(contents: Contents, now: datetime, mint: Mint) -> Contents | None:
    if contents.upcoming is not None:
        if _can_sign(contents.upcoming, now) and not is_due(contents.upcoming.certificate, now):
            return None
        # what is wrong with it may be seen by others as well, and it has signed nothing: it goes
        return replace(contents, upcoming=None, upcoming_published=None)
    if not is_due(contents.authority.certificate, now):
        return None
    return replace(contents, upcoming=mint.authority(now), upcoming_published=None)


def _turned(contents: Contents, published: Published, now: datetime, mint: Mint, settle: float) -> Contents | None:
    upcoming = contents.upcoming
    if upcoming is None or upcoming.certificate not in published.everywhere:
        return None
    if not _settled(contents.upcoming_published, now, settle):
        return None
    old = newest([contents.authority.certificate, *contents.old], MOST_OLD)
    return Contents(
        upcoming,
        mint.serving(upcoming, now),
        published=contents.upcoming_published,
        old=old,
        old_until=_later(contents.old_until, _after(expiry(contents.serving.certificate), SKEW)),
    )


def _renewed(contents: Contents, now: datetime, mint: Mint) -> Contents | None:
    if not is_due(contents.serving.certificate, now):
        return None
    return replace(contents, serving=mint.serving(contents.authority, now))


def _forgotten(contents: Contents, published: Published, now: datetime) -> Contents | None:
    """An hour after its time, lest a replica whose clock is late takes it for a stranger's and adopts it."""
    if not contents.old:
        return None if contents.old_until is None else replace(contents, old_until=None)
    if contents.old_until is None:  # somebody has removed the annotation
        return replace(contents, old_until=max(expiry(pem) for pem in contents.old))
    if now - SKEW < contents.old_until or any(pem in published.anywhere for pem in contents.old):
        return None
    return replace(contents, old=(), old_until=None)


def _can_sign(pair: Pair, now: datetime) -> bool:
    return is_signer(pair) and is_authority(pair.certificate) and is_current(pair.certificate, now)


def _settled(since: datetime | None, now: datetime, settle: float) -> bool:
    return since is not None and (now - since).total_seconds() >= settle


def _after(moment: datetime, span: timedelta) -> datetime:
    """Or the last moment that there is: a person's certificate may say that it has no end (RFC 5280, 4.1.2.5)."""
    try:
        return moment + span
    except OverflowError:
        return datetime.max.replace(microsecond=0, tzinfo=UTC)


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)
