"""The rules for a Deployment (design.md, "The webhook's rules", 1 to 5 and 7): what is held, what is released.

PURE: from the old and the new version, and from whether our controller writes, to what must
stand on the stored object. Knows nothing of patches, of what makes an annotation or a template bad
(`validate`), nor of HTTP.

How the two pauses are told apart: ``paused`` is ours iff ``coalmine.dev/hold`` stands on
**oldObject**. Then it stays whatever the new object says (absent by PUT, false by hand, null by
``kubectl rollout resume``, true by Git). Without it, ``paused: true`` is the user's: hands off.

How ``stable`` stays true: it is recorded from a version that was complete, and removed by a
template change that is let through. A template change under the user's own pause ships nothing yet, so it
keeps ``stable``; lifting that pause then compares the template with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coalmine.model.fingerprint import fingerprint
from coalmine.model.names import FAILED, HANDOVER, HOLD, STABLE
from coalmine.model.reasons import Reason
from coalmine_webhook.facts import Facts, Mode, with_stamp
from coalmine_webhook.review import CONFLICT, Notice, Refused, notice


@dataclass(frozen=True, slots=True)
class Keys:
    """What must stand on the stored Deployment: our annotations, our two labels, ``spec.paused``."""

    own: Mapping[str, str]
    labelled: bool
    stamped: bool
    paused: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The keys, and what the writer is told."""

    keys: Keys
    notices: tuple[Notice, ...] = ()


def undo_first_pass(new: Facts, old: Facts | None) -> Facts:
    """Rule 7: take back a hold that is not on oldObject: it is our own first pass's, or forged."""
    if not new.held or (old is not None and old.held):
        return new
    return replace(new, own={k: v for k, v in new.own.items() if k != HOLD}, paused=False)


def create(new: Facts) -> Verdict:
    """CREATE: nothing is stable yet, so nothing can be held; keys of ours on a copied object are dropped."""
    on = new.mode is Mode.ON
    notices = (notice(Reason.USER_PAUSED),) if on and new.paused else ()
    return Verdict(Keys({}, on, on, new.paused), notices)


def update(old: Facts, new: Facts, name: str, *, by_controller: bool) -> Verdict:
    """UPDATE. Raises Refused. `new` is what came in, after `undo_first_pass`."""
    if new.mode is Mode.NONE:
        return _removed(old, new)
    change = _Change.between(old, new, by_controller=by_controller)
    if new.mode is Mode.OFF:
        return _off(change, name)
    return _on(change, name)


@dataclass(frozen=True, slots=True)
class _Change:
    """Both versions, and what follows from them."""

    old: Facts
    new: Facts
    by_controller: bool
    #: Whether the stored template will carry our label.
    stamped: bool
    #: Fingerprints of the templates: as stored before, as it will be stored now.
    before: str
    now: str
    #: Whether the writer changed the template; our own stamp is no change.
    edited: bool
    #: Our annotations to start from, with `STABLE` brought up to date.
    own: Mapping[str, str]

    @classmethod
    def between(cls, old: Facts, new: Facts, *, by_controller: bool) -> _Change:
        stamped = new.mode is Mode.ON or old.stamped
        before, now = fingerprint(old.template), fingerprint(with_stamp(new.template, stamped))
        # our keys are the controller's to write; from everybody else they are carried over
        own = dict(new.own if by_controller else old.own)
        own.pop(HOLD, None)
        if not old.held:
            if not old.stamped:
                # pods without sidecars cannot be one side of a split
                own.pop(STABLE, None)
            elif old.complete:
                own[STABLE] = before
        return cls(
            old=old,
            new=new,
            by_controller=by_controller,
            stamped=stamped,
            before=before,
            now=now,
            # with the stamp on both, these are the two templates that `edited` compares
            edited=before != now if old.stamped else edited(old, new),
            own=own,
        )

    @property
    def users_pause(self) -> bool:
        return self.new.paused and not self.old.held

    def keys(self, *, without: tuple[str, ...] = (), paused: bool | None = None, held: bool = False) -> Keys:
        own = {key: value for key, value in self.own.items() if key not in without}
        if held:
            own[HOLD] = self.now
        return Keys(
            own=own,
            labelled=True if self.new.mode is Mode.ON else self.old.labelled,
            stamped=self.stamped,
            paused=self.users_pause if paused is None else paused,
        )


def edited(old: Facts, new: Facts) -> bool:
    """Whether the writer changed the template; our own stamp is no change."""
    return fingerprint(with_stamp(new.template, old.stamped)) != fingerprint(with_stamp(old.template, old.stamped))


def _on(change: _Change, name: str) -> Verdict:
    old, new, own = change.old, change.new, change.own
    if HANDOVER in old.own and change.edited:
        raise Refused(Reason.HANDOVER_IN_PROGRESS, code=CONFLICT)
    stable = own.get(STABLE)
    if old.held and change.now != stable:
        if change.by_controller and (HOLD not in new.own or not new.paused):
            # rule 3: it released a template other than the one that it recorded
            raise Refused(Reason.BAD_RELEASE)
        return _held(change, name)
    if change.now == stable:
        told = (notice(Reason.RELEASED),) if old.held and change.edited else _users_pause(change)
        return Verdict(change.keys(without=(FAILED,)), told)
    if change.users_pause:
        told = _users_pause(change) if old.stamped else (notice(Reason.OPTED_IN), *_users_pause(change))
        return Verdict(change.keys(), told)
    if stable is not None and (
        change.now == own.get(FAILED) or (new.replicas > 0 and (change.edited or _resumed(change)))
    ):
        return _held(change, name)
    told = () if old.stamped else (notice(Reason.OPTED_IN),)
    return Verdict(change.keys(without=(STABLE,) if change.now != change.before else ()), told)


def _resumed(change: _Change) -> bool:
    # `rollout pause; set image; resume`: the template changed while nothing could ship
    return change.old.paused and not change.old.held


def _users_pause(change: _Change) -> tuple[Notice, ...]:
    return (notice(Reason.USER_PAUSED),) if change.users_pause else ()


def _held(change: _Change, name: str) -> Verdict:
    # a write that neither changes the template nor tries to unpause need not be told each time
    told: tuple[Notice, ...] = ()
    if change.edited or not change.new.paused:
        reason = Reason.STILL_FAILED if change.now == change.own.get(FAILED) else Reason.HELD
        told = (notice(reason, images=change.new.images, name=name),)
    return Verdict(change.keys(paused=True, held=True), told)


def _off(change: _Change, name: str) -> Verdict:
    """Rule 5, the escape hatch: for anyone, at any time, the handover included."""
    old, new = change.old, change.new
    turned = old.mode is not Mode.OFF
    if change.now == change.own.get(FAILED) and (turned or change.edited or old.held):
        raise Refused(Reason.OFF_WHILE_FAILED, images=new.images, name=name)
    without = [HANDOVER]
    if change.now == change.own.get(STABLE):
        without.append(FAILED)
    elif not change.users_pause:
        # what ships now is not the version that was last complete
        without.append(STABLE)
    told = (notice(Reason.OPTED_OUT, images=new.images),) if turned or old.held else ()
    return Verdict(change.keys(without=tuple(without)), told)


def _removed(old: Facts, new: Facts) -> Verdict:
    """The annotation is not there (any more)."""
    if old.mode is Mode.NONE:
        # not ours, or bereft of its annotation behind our back: what stands, stands
        return Verdict(Keys(old.own, old.labelled, old.stamped, new.paused or old.held))
    if HANDOVER in old.own:
        raise Refused(Reason.HANDOVER_IN_PROGRESS, code=CONFLICT)
    if old.held:
        raise Refused(Reason.REMOVED_WHILE_HELD, images=old.images)
    if old.stamped and old.mode is Mode.ON and edited(old, new):
        # from "off" it is no silent opt-out: that was said when "off" was written
        raise Refused(Reason.REMOVED_WITH_TEMPLATE)
    told = (notice(Reason.OPTED_OUT, images=new.images),) if old.stamped else ()
    return Verdict(Keys({}, labelled=False, stamped=False, paused=new.paused), told)
