"""The rules for a Deployment, one table or story each; the world of conftest checks purity along the way."""

from __future__ import annotations

import copy

import pytest

from coalmine.model import names
from coalmine_webhook.review import Allowed, Denied

STEPS = "steps:\n- setWeight: 20\n- pause: {duration: 30s}\n"
OTHER = "steps:\n- setWeight: 50\n"


# --- CREATE ---------------------------------------------------------------------------------------


def test_create_stamps_and_holds_nothing(world, new_deployment):
    world.create(new_deployment())
    assert (world.stamps, world.is_held, world.paused, world.told) == ((True, True), False, False, [])


@pytest.mark.parametrize("canary", [None, "off"])
def test_create_without_a_strategy_is_left_alone(world, new_deployment, canary):
    assert world.create(new_deployment(canary=canary)) == Allowed()


@pytest.mark.parametrize("canary", [None, "off", STEPS])
def test_create_drops_copied_keys(world, new_deployment, canary):
    copied = new_deployment(canary=canary, hold="0" * 16, stable="1" * 16, failed="2" * 16, handover="3" * 16)
    copied["metadata"]["labels"][names.ROLLOUT_LABEL] = "true"
    copied["spec"]["paused"] = True
    world.create(copied)
    assert not set(names.OWN_ANNOTATIONS) & set(world.annotations)
    assert not world.paused, "a pause that stands beside our hold is ours"
    assert world.stamps == ((True, True) if canary == STEPS else (False, False))


def test_create_paused_by_the_user_stays_so(world, new_deployment):
    paused = new_deployment()
    paused["spec"]["paused"] = True
    world.create(paused)
    assert (world.paused, world.told) == (True, ["UserPaused"])


# --- rule 1: stable ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "recorded"),
    [
        ({}, True),
        ({"updatedReplicas": 4}, False),
        ({"availableReplicas": 4}, False),
        ({"replicas": 6}, False),
        ({"observedGeneration": 0}, False),
    ],
)
def test_stable_is_recorded_from_a_complete_old_object(world, new_deployment, change, recorded):
    world.create(new_deployment())
    world.settle()
    world.stored["status"] |= change
    world.annotate(note="touched")
    assert (world.annotations.get(names.STABLE) == world.now) is recorded


def test_stable_is_recorded_in_the_write_that_changes_the_template(world, new_deployment):
    world.create(new_deployment())
    before = world.settle().now
    world.set_image("app:2")
    assert world.annotations[names.STABLE] == before
    assert world.is_held


def test_an_unstamped_template_is_never_stable(world, new_deployment):
    world.stored = new_deployment()  # it was there before us
    world.stored["metadata"] |= {"uid": "u", "generation": 1}
    world.settle()
    world.annotate(world.CONTROLLER)
    assert names.STABLE not in world.annotations
    assert world.told == ["OptedIn"]


def test_a_template_change_that_is_let_through_removes_stable(world):
    world.stable()
    world.merge({"spec": {"replicas": 0}})
    world.set_image("app:2")
    assert (world.is_held, names.STABLE in world.annotations) == (False, False)


# --- rule 2: hold and release -----------------------------------------------------------------------


def test_a_new_template_is_held(world):
    old = world.stable().now
    world.set_image("app:2")
    assert world.is_held
    assert world.annotations[names.STABLE] == old
    assert world.told == ["Held"]


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda w, _: w.merge({"spec": {"replicas": 7}}), id="scale"),
        pytest.param(lambda w, _: w.merge({"spec": {"replicas": 0}}), id="scale to 0"),
        pytest.param(lambda w, _: w.resume(), id="kubectl rollout resume"),
        pytest.param(lambda w, _: w.merge({"spec": {"paused": False}}), id="paused: false by hand"),
        pytest.param(lambda w, _: w.merge({"spec": {"paused": True}}), id="paused: true by hand"),
        pytest.param(lambda w, new: w.put(new("app:2")), id="PUT without our keys"),
        pytest.param(lambda w, _: w.annotate(hold=None), id="hold removed"),
        pytest.param(lambda w, _: w.annotate(hold="0" * 16), id="hold forged"),
        pytest.param(lambda w, _: w.annotate(stable=w.now), id="stable forged"),
        pytest.param(lambda w, _: w.annotate(stable=None, failed=w.now, handover="x"), id="others forged"),
        pytest.param(
            lambda w, _: w.merge(
                {"metadata": {"annotations": {names.HOLD: None, names.STABLE: w.now}}, "spec": {"paused": None}}
            ),
            id="a release by somebody else",
        ),
        pytest.param(lambda w, _: w.annotate(canary=OTHER), id="other steps"),
        pytest.param(lambda w, _: w.merge({"metadata": {"labels": None}}), id="labels removed"),
    ],
)
def test_held_stays_held_whoever_writes_and_however(world, new_deployment, write):
    world.held()
    own = {k: v for k, v in world.annotations.items() if k in names.OWN_ANNOTATIONS}
    write(world, new_deployment)
    assert world.is_held
    assert {k: v for k, v in world.annotations.items() if k in names.OWN_ANNOTATIONS} == own
    assert world.stamps == (True, True)


def test_trying_to_unpause_is_told_and_a_label_is_not(world):
    world.held()
    assert world.resume()
    assert world.told == ["Held"]
    world.merge({"metadata": {"labels": {"team": "a"}}})
    assert world.told == []


def test_a_newer_template_takes_the_held_ones_place(world):
    old = world.held("app:2").annotations[names.STABLE]
    world.set_image("app:4")
    assert (world.is_held, world.image, world.annotations[names.STABLE]) == (True, "app:4", old)


def test_back_to_stable_releases_and_clears_failed(world):
    world.failed()
    world.set_image("app:1")
    assert (world.is_held, world.paused, names.FAILED in world.annotations) == (False, False, False)
    assert world.told == ["Released"]
    assert "paused" not in world.stored["spec"], "removed, never false"


def test_back_by_put_releases_too(world, new_deployment):
    world.failed()
    world.put(new_deployment("app:1"))
    assert (world.is_held, world.paused) == (False, False)


def test_a_failed_template_is_a_new_try_after_stable(world):
    world.failed("app:3")
    world.set_image("app:1")
    world.complete()
    world.set_image("app:3")
    assert world.is_held
    assert names.FAILED not in world.annotations
    assert world.told == ["Held"]


def test_a_failed_template_stays_failed_by_way_of_another_one(world):
    failed = world.failed("app:3").now
    world.set_image("app:4")
    assert world.annotations[names.FAILED] == failed
    world.set_image("app:3")
    assert (world.is_held, world.told) == (True, ["StillFailed"])


def test_a_failed_template_scaled_to_0_and_up_stays_held(world):
    failed = world.failed().now
    world.merge({"spec": {"replicas": 0}})
    world.merge({"spec": {"replicas": 5}})
    assert (world.is_held, world.annotations[names.FAILED]) == (True, failed)


def test_replicas_0_lets_a_template_through(world, new_deployment):
    world.stable(new_deployment(replicas=0))
    world.set_image("app:2")
    assert (world.is_held, world.paused) == (False, False)


def test_scaling_up_with_a_new_template_is_held(world, new_deployment):
    world.stable(new_deployment(replicas=0))
    obj = copy.deepcopy(world.stored)
    obj["spec"]["replicas"] = 3
    obj["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    world.put(obj)
    assert world.is_held


def test_without_stable_known_a_template_is_let_through(world, new_deployment):
    world.create(new_deployment())
    world.set_image("app:2")  # the first one has not become complete
    assert (world.is_held, world.told) == (False, [])


# --- rule 3: the controller ---------------------------------------------------------------------------


def test_the_controller_releases_what_it_records_as_stable(world):
    world.handing_over()
    now = world.now
    world.release()
    assert (world.is_held, world.paused, world.annotations[names.STABLE]) == (False, False, now)
    assert world.annotations[names.HANDOVER] == now, "it stays until the controller takes it away"
    world.annotate(world.CONTROLLER, handover=None)
    assert names.HANDOVER not in world.annotations


def test_a_stamp_that_was_lost_is_no_edit_during_the_handover(world):
    """The stored template gets our label back: that is our own change, not the writer's."""
    world.handing_over()
    del world.stored["spec"]["template"]["metadata"]["labels"][names.SIDECAR_LABEL]
    world.put(copy.deepcopy(world.stored))
    assert world.stored["spec"]["template"]["metadata"]["labels"][names.SIDECAR_LABEL] == names.LABEL_TRUE
    assert world.is_held


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"annotations": {names.HOLD: None}}, "spec": {"paused": None}},
        {"spec": {"paused": None}},
        {"metadata": {"annotations": {names.HOLD: None}}},
        {"metadata": {"annotations": {names.HOLD: None, names.STABLE: "0" * 16}}, "spec": {"paused": None}},
    ],
)
def test_a_release_of_another_template_is_refused_even_to_the_controller(world, patch):
    world.held()
    world.merge(patch, world.CONTROLLER)
    assert world.told == ["BadRelease"]
    assert world.is_held


def test_a_promotion_forgets_what_failed_before(world):
    world.failed("app:3")
    world.set_image("app:4")
    world.release()
    assert names.FAILED not in world.annotations


@pytest.mark.parametrize("key", ["failed", "handover"])
def test_only_the_controller_sets_and_clears_its_keys(world, key):
    world.held()
    world.annotate(**{key: world.now})
    assert f"{names.GROUP}/{key}" not in world.annotations
    world.annotate(world.CONTROLLER, **{key: world.now})
    assert world.annotations[f"{names.GROUP}/{key}"] == world.now
    world.annotate(**{key: None})
    assert world.annotations[f"{names.GROUP}/{key}"] == world.now
    world.annotate(world.CONTROLLER, **{key: None})
    assert f"{names.GROUP}/{key}" not in world.annotations
    assert world.is_held


def test_a_forged_hold_on_an_unheld_one_is_dropped(world):
    world.stable()
    world.merge({"metadata": {"annotations": {names.HOLD: world.now}}, "spec": {"paused": True}})
    assert (world.is_held, world.paused) == (False, False)


def test_a_forged_stable_does_not_let_a_template_through(world):
    world.held()
    forged = world.now
    world.set_image("app:1")
    world.complete()
    obj = copy.deepcopy(world.stored)
    obj["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    obj["metadata"]["annotations"][names.STABLE] = forged
    world.put(obj)
    assert world.is_held


# --- rule 4: handover ---------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["app:1", "app:4"])
def test_a_template_change_is_refused_during_the_handover(world, image):
    world.handing_over()
    outcome = world.set_image(image)
    assert world.told == ["HandoverInProgress"]
    assert isinstance(outcome, Denied)
    assert (outcome.code, outcome.message) == (409, "handover in progress, try again in a few seconds")


def test_during_a_handover_that_was_cut_short_a_template_change_is_refused_too(world):
    world.handing_over()
    world.release()
    world.set_image("app:4")
    assert world.told == ["HandoverInProgress"]


def test_other_writes_pass_during_the_handover(world):
    world.handing_over()
    world.merge({"spec": {"replicas": 9}})
    assert world.is_held
    assert world.stored["spec"]["replicas"] == 9


# --- rule 5: opting in, off, removing ----------------------------------------------------------------


def existing(world, new_deployment):
    world.create(new_deployment(canary=None))
    return world.complete()


def test_opting_in_stamps_with_a_warning_and_holds_nothing(world, new_deployment):
    existing(world, new_deployment)
    world.annotate(canary=STEPS)
    assert (world.stamps, world.is_held, world.told) == ((True, True), False, ["OptedIn"])
    world.complete()
    world.set_image("app:2")
    assert world.is_held


def test_opting_in_with_a_new_image_is_no_canary_either(world, new_deployment):
    existing(world, new_deployment)
    world.put(new_deployment("app:2"))
    assert (world.stamps, world.is_held, world.told) == ((True, True), False, ["OptedIn"])


def test_put_without_the_stamp_is_no_change(world, new_deployment):
    stable = world.stable().now
    world.put(new_deployment())
    assert (world.now, world.is_held, world.stamps) == (stable, False, (True, True))


@pytest.mark.parametrize("situation", ["held", "handing_over"])
@pytest.mark.parametrize("user", ["alice", names.CONTROLLER_USER])
@pytest.mark.parametrize("text", ["off", '"off"', " OFF\n"])
def test_off_lets_go_at_any_time(world, situation, user, text):
    getattr(world, situation)()
    world.annotate(user, canary=text)
    assert (world.is_held, world.paused, world.stamps) == (False, False, (True, True))
    assert not {names.HOLD, names.HANDOVER, names.STABLE} & set(world.annotations)
    assert world.told == ["OptedOut"]
    assert "app:2 now ships" in world.outcome.notices[0].text


def test_off_with_a_new_template_in_the_handover(world, new_deployment):
    world.handing_over()
    world.put(new_deployment("app:9", canary="off"))
    assert (world.is_held, world.paused, world.image, world.told) == (False, False, "app:9", ["OptedOut"])


def test_off_is_refused_while_the_template_is_the_failed_one(world, new_deployment):
    world.failed("app:3")
    world.annotate(canary="off")
    assert world.told == ["OffWhileFailed"]
    world.put(new_deployment("app:4", canary="off"))
    assert (world.told, world.image, world.is_held) == (["OptedOut"], "app:4", False)
    world.set_image("app:3")
    assert world.told == ["OffWhileFailed"]


def test_while_off_templates_ship_natively_and_keep_the_stamp(world, new_deployment):
    world.stable()
    world.annotate(canary="off")
    world.put(new_deployment("app:2", canary="off"))
    assert (world.is_held, world.paused, world.stamps, world.told) == (False, False, (True, True), [])
    world.complete()
    world.annotate(canary=STEPS)
    assert (world.is_held, world.told) == (False, [])
    world.set_image("app:3")
    assert world.is_held


def test_on_again_in_the_midst_of_a_native_update_holds_nothing(world):
    world.stable()
    world.annotate(canary="off")
    world.set_image("app:2")
    world.annotate(canary=STEPS)
    assert (world.is_held, world.paused) == (False, False)


def test_a_users_pause_under_off_is_kept_without_a_word(world):
    world.stable()
    world.annotate(canary="off")
    world.merge({"spec": {"paused": True}})
    assert (world.paused, world.told) == (True, [])


def test_removing_the_annotation_takes_everything_of_ours_along(world):
    world.stable()
    world.annotate(canary=None)
    assert (world.stamps, world.told) == ((False, False), ["OptedOut"])
    assert not {names.CANARY, *names.OWN_ANNOTATIONS} & set(world.annotations)
    assert world.annotate(note="later") == Allowed()


@pytest.mark.parametrize(
    ("situation", "code"),
    [
        ("held", "AnnotationRemovedWhileHeld"),
        ("failed", "AnnotationRemovedWhileHeld"),
        ("handing_over", "HandoverInProgress"),
    ],
)
def test_removing_the_annotation_is_refused(world, situation, code):
    getattr(world, situation)()
    world.annotate(canary=None)
    assert world.told == [code]


def test_removing_it_with_a_template_change_is_refused(world, new_deployment):
    world.stable()
    world.put(new_deployment("app:0", canary=None))
    assert world.told == ["AnnotationRemovedWithTemplateChange"]


def test_removing_it_from_off_may_come_with_a_template(world, new_deployment):
    world.stable()
    world.annotate(canary="off")
    world.put(new_deployment("app:2", canary=None))
    assert (world.stamps, world.image) == ((False, False), "app:2")


def undo(world, revision):
    """``kubectl rollout undo``: the template and **all** annotations of an old ReplicaSet."""
    obj = copy.deepcopy(world.stored)
    obj["spec"]["template"] = copy.deepcopy(revision["spec"]["template"])
    obj["metadata"]["annotations"] = copy.deepcopy(revision["metadata"].get("annotations", {}))
    return world.put(obj)


def promoted(world):
    """Revision 1, then 2 promoted; answers the first."""
    first = copy.deepcopy(world.stable().stored)
    world.set_image("app:2")
    world.release()
    world.complete()
    return first


def test_undo_is_a_new_canary_and_brings_no_old_keys_along(world):
    first = promoted(world)
    first["metadata"]["annotations"] |= {names.FAILED: "f" * 16, names.HOLD: "e" * 16}
    stable = world.now
    undo(world, first)
    assert world.is_held
    assert world.annotations[names.STABLE] == stable
    assert names.FAILED not in world.annotations


def test_undo_to_a_revision_without_the_annotation_is_refused(world):
    first = promoted(world)
    first["metadata"]["annotations"] = {}
    undo(world, first)
    assert world.told == ["AnnotationRemovedWithTemplateChange"]


def test_undo_that_changes_the_strategy_says_which_holds(world):
    first = promoted(world)
    world.annotate(canary=OTHER)
    undo(world, first)
    assert world.told == ["Held", "StrategyChanged"]
    assert world.outcome.notices[1].text.endswith("setWeight 20, pause 30s")


# --- the user's own pause ------------------------------------------------------------------------------


def test_pause_set_image_resume_is_held(world):
    world.stable()
    world.merge({"spec": {"paused": True}})
    assert world.told == ["UserPaused"]
    world.set_image("app:2")
    assert (world.is_held, world.paused, world.told) == (False, True, ["UserPaused"])
    world.settle(updated=0)
    world.resume()
    assert (world.is_held, world.told) == (True, ["Held"])


def test_pause_and_resume_without_a_change_holds_nothing(world):
    world.stable()
    world.merge({"spec": {"paused": True}})
    world.resume()
    assert (world.is_held, world.paused) == (False, False)


def test_pause_set_image_back_resume_holds_nothing(world):
    world.stable()
    world.merge({"spec": {"paused": True}})
    world.set_image("app:2")
    world.set_image("app:1")
    world.resume()
    assert (world.is_held, world.paused) == (False, False)


def test_a_paused_template_at_0_replicas_is_not_taken_for_stable(world, new_deployment):
    world.stable()
    world.merge({"spec": {"paused": True}})
    stable = world.annotations[names.STABLE]
    world.merge({"spec": {"replicas": 0}})
    world.set_image("app:2")
    world.complete()
    assert world.annotations[names.STABLE] == stable


# --- rule 7: dry run, reinvocation ------------------------------------------------------------------


def test_dry_run_gives_the_same_answer(world):
    world.stable()
    template = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    dry = world.merge(template, dry_run=True)
    assert world.merge(template) == dry


def test_reapplying_a_tag_that_another_webhook_resolves_is_no_change(world, new_deployment):
    def resolve(obj):
        container = obj["spec"]["template"]["spec"]["containers"][0]
        container["image"] = container["image"].replace("app:", "app@sha256:")

    world.other = resolve
    world.stable()
    assert world.image == "app@sha256:1"
    world.put(new_deployment("app:1"))
    assert (world.is_held, world.paused) == (False, False)
    world.put(new_deployment("app:2"))
    assert world.is_held
    world.put(new_deployment("app:2"))
    assert world.is_held
    world.put(new_deployment("app:1"))
    assert (world.is_held, world.paused) == (False, False)


# --- rule 8 ------------------------------------------------------------------------------------------


def test_what_is_being_deleted_is_let_go(world):
    world.held()
    assert (
        world.merge({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"paused": None}}) == Allowed()
    )


def test_nothing_to_do_is_an_empty_patch(world):
    world.held()
    assert world.merge({"metadata": {"labels": {"team": "a"}}}) == Allowed()
