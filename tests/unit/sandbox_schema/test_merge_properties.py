"""Laws of merging and of ownership, for any objects."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.kube.resources import DEPLOYMENTS, Object
from coalmine_sandbox.api import defaults
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.merge import apply, fields, json_patch, managed, managers, merge_patch, strategic, typed
from coalmine_sandbox.api.schema import builtin, structural
from coalmine_sandbox.api.schema.node import Node

_FOUND = builtin.structure(DEPLOYMENTS)
assert _FOUND is not None
NODE: Node = _FOUND
#: A custom resource's: granular maps, a set, a map list, an atomic list and what nothing is known of.
CUSTOM = structural.structure(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "map": {"type": "object", "additionalProperties": {"type": "string"}},
                    "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "atomic": {"type": "array", "items": {"type": "string"}},
                    "items": {
                        "type": "array",
                        "items": {"type": "object", "properties": {k: {"type": "string"} for k in ("name", "a", "b")}},
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                    },
                    "any": {"x-kubernetes-preserve-unknown-fields": True},
                },
            }
        },
    }
)
words = st.sampled_from(["a", "b", "c", "d"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(words, json_values, max_size=4)


def some(**parts: Any) -> Any:
    return st.fixed_dictionaries({}, optional=parts)


items = st.lists(words, unique=True, max_size=3).flatmap(
    lambda names: st.tuples(*(some(a=words, b=words).map(lambda v, n=name: {"name": n, **v}) for name in names)).map(
        list
    )
)
#: An empty list that is merged has no fields: the real one's records lose sight of it, and so do ours.
specs = some(
    map=st.dictionaries(words, words, max_size=3),
    set=st.lists(words, unique=True, min_size=1, max_size=3),
    atomic=st.lists(words, max_size=2),
    items=items.filter(bool),
    any=st.dictionaries(words, words | st.integers(0, 2) | st.dictionaries(words, words, max_size=2), max_size=2),
)


def custom(spec: Object) -> Object:
    return {"apiVersion": "e.com/v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec}


def applied(live: Object | None, spec: Object, manager: str, *, force: bool = False, time: str = "1") -> Object:
    return apply.apply(CUSTOM, live, custom(spec), manager=manager, force=force, time=time)


def wrote(live: Object | None, spec: Object, manager: str, time: str = "1") -> Object:
    new = custom(spec) if live is None else {**live, "spec": spec}
    return managed.updated(CUSTOM, live, new, manager=manager, time=time)


def owned(obj: Object) -> dict[str, fields.Fields]:
    return {key.manager: entry.owned for key, entry in (managers.read(obj) or {}).items()}


# --- JSON merge patch -------------------------------------------------------------------------------


def without_nulls(value: Any) -> Any:
    return {k: without_nulls(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def difference(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    changed = {
        k: difference(old.get(k), v)
        for k, v in new.items()
        if k not in old or old[k] != v or type(old[k]) is not type(v)
    }
    return changed | dict.fromkeys(k for k in old if k not in new)


@given(documents, documents)
def test_a_merge_patch_twice_is_a_merge_patch_once(current: Object, patch: Object) -> None:
    before = copy.deepcopy((current, patch))
    once = merge_patch(current, patch)
    assert merge_patch(once, patch) == once
    assert (current, patch) == before


@given(documents, documents)
def test_the_difference_of_two_documents_leads_from_one_to_the_other(old: Object, new: Object) -> None:
    old, new = without_nulls(old), without_nulls(new)
    assert merge_patch(old, difference(old, new)) == new
    assert merge_patch(old, {}) == old


@pytest.mark.parametrize("patch", [[], "text", 1, None])
def test_a_patch_is_an_object(patch: Any) -> None:
    with pytest.raises(StatusError) as refused:
        merge_patch({}, patch)
    assert refused.value.code == 400
    with pytest.raises(StatusError) as refused:
        strategic(NODE, {}, patch)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ({"op": "add"}, 400),
        (["add"], 400),
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "remove", "path": "/x"}], 422),
        ([{"op": "add", "path": "/x/y", "value": 1}], 422),
        ([{"op": "dance", "path": "/a"}], 422),
        ([{"path": "/a"}], 422),
        ([{"op": "copy", "from": 1, "path": "/a"}], 422),
        ([{"op": "replace", "path": "", "value": []}], 422),
        ([{"op": "copy", "from": "", "path": f"/{n}"} for n in range(40)], 422),
        ([{"op": "test", "path": "/a", "value": 1}] * 10_001, 413),
    ],
)
def test_a_json_patch_that_cannot_be_is_refused(operations: Any, code: int) -> None:
    current = {"a": 1}
    with pytest.raises(StatusError) as refused:
        json_patch(current, operations)
    assert refused.value.code == code
    assert current == {"a": 1}


# --- strategic merge patch --------------------------------------------------------------------------


@given(items, items)
def test_an_ordered_patch_of_a_merged_list_gives_its_order(old: list[Object], new: list[Object]) -> None:
    """What kubectl apply sends: the new items, deletions, and the order of what is to be there."""
    names = [item["name"] for item in new]
    gone = [{"name": item["name"], "$patch": "delete"} for item in old if item["name"] not in names]

    def at(found: list[Object]) -> Object:
        return {
            "spec": {
                "template": {"spec": {"containers": [{"name": i["name"], "image": i.get("a", "x")} for i in found]}}
            }
        }

    patch = at(new)
    inner = patch["spec"]["template"]["spec"]
    inner["containers"] += gone
    inner["$setElementOrder/containers"] = [{"name": name} for name in names]
    made = strategic(NODE, at(old), patch)
    assert made["spec"]["template"]["spec"]["containers"] == at(new)["spec"]["template"]["spec"]["containers"]


def bare(value: Any) -> Any:
    """Without nulls anywhere: the two kinds of patch differ in those below what is new."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if item is not None}
    return [bare(item) for item in value] if isinstance(value, list) else value


@given(documents, documents)
def test_without_lists_of_a_known_type_a_strategic_patch_is_a_merge_patch(current: Object, patch: Object) -> None:
    current, patch = bare(current), bare(patch)
    assert strategic(structural.structure({}), current, patch) == merge_patch(current, patch)


# --- ownership --------------------------------------------------------------------------------------


@given(specs)
def test_a_set_is_read_as_it_was_written(spec: Object) -> None:
    found = typed.of(CUSTOM, custom(spec))
    written = fields.encode(found)
    assert fields.decode(json.loads(json.dumps(written))) == found
    assert fields.encode(fields.decode(written)) == written


@given(specs, specs)
def test_comparing_says_what_was_added_and_removed(old: Object, new: Object) -> None:
    forth, back = (typed.compare(CUSTOM, custom(a), custom(b)) for a, b in ((old, new), (new, old)))
    assert (forth.added, forth.removed) == (back.removed, back.added)
    assert forth.modified == back.modified
    assert (old == new) or forth != typed.Comparison() or not typed.same(old, new)


@given(specs, specs)
def test_an_apply_is_idempotent(first: Object, second: Object) -> None:
    first, second = ({**spec, "map": {"mine": "1", **spec.get("map", {})}} for spec in (first, second))
    live = applied(applied(None, first, "one"), second, "one", time="2")
    again = applied(live, second, "one", time="3")
    assert again == live


@given(specs, specs)
def test_the_only_manager_gets_what_it_applies(first: Object, second: Object) -> None:
    live = applied(None, first, "one")
    made = applied(live, second, "one", time="2")
    fresh = applied(None, second, "one", time="2")
    assert sorted_sets(compact(made.get("spec", {}))) == sorted_sets(compact(fresh.get("spec", {})))


def sorted_sets(spec: Object) -> Object:
    """Order within lists that are merged is another matter."""
    return {
        k: sorted(v, key=json.dumps) if k in {"set", "items"} and isinstance(v, list) else v for k, v in spec.items()
    }


def compact(value: Any) -> Any:
    """Without what is empty: an apply does not tell that from what is not there."""
    if isinstance(value, dict):
        found = {k: compact(v) for k, v in value.items()}
        return {k: v for k, v in found.items() if v not in ({}, [])}
    return value


@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), specs, st.booleans()), min_size=1, max_size=6))
def test_nobody_owns_what_is_not_there(writes: list[tuple[str, Object, bool]]) -> None:
    live: Object | None = None
    for number, (manager, spec, is_apply) in enumerate(writes):
        if is_apply:
            live = applied(live, spec, manager, force=True, time=str(number))
        else:
            live = wrote(live, spec, manager, time=str(number))
        bare_live = managers.write(live, {})
        there = typed.named(CUSTOM, typed.of(CUSTOM, bare_live)) | typed.compare(CUSTOM, {}, bare_live).added
        for manager_name, paths in owned(live).items():
            assert paths <= there, manager_name
            assert paths


@given(specs, specs)
def test_managers_of_different_fields_never_conflict(first: Object, second: Object) -> None:
    mine, theirs = ({k: v for k, v in spec.items() if k in part} for spec, part in (
        (first, ("map", "items")), (second, ("set", "atomic", "any"))))  # fmt: skip
    live = applied(applied(None, mine, "one"), theirs, "two")
    live = applied(live, mine, "one")
    for key, value in (mine | theirs).items():
        assert compact(live["spec"].get(key, type(value)())) == compact(value)


@given(specs)
def test_shared_fields_stay_until_the_last_owner_lets_go(spec: Object) -> None:
    live = applied(applied(None, spec, "one"), spec, "two")
    one_left = applied(live, {}, "one")
    assert one_left.get("spec") == live.get("spec")
    assert not compact(applied(one_left, {}, "two").get("spec", {}))


@given(specs, specs)
def test_a_write_that_changes_nothing_keeps_the_times(first: Object, second: Object) -> None:
    live = wrote(wrote(None, first, "one"), second, "two", time="2")
    assert wrote(live, live.get("spec", {}), "three", time="9") == live


def test_the_writer_of_a_change_takes_the_field_over() -> None:
    live = wrote(None, {"map": {"a": "1", "b": "1"}}, "one")
    live = wrote(live, {"map": {"a": "2", "b": "1"}}, "two", time="2")
    assert owned(live)["two"] == {("f:spec", "f:map", "f:a")}
    assert ("f:spec", "f:map", "f:a") not in owned(live)["one"]
    live = wrote(live, {"map": {"b": "1"}}, "one", time="3")
    assert "two" not in owned(live)


def test_statuses_have_entries_of_their_own() -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "status": {"replicas": 1}}
    live = managed.updated(NODE, None, defaults.complete(DEPLOYMENTS, obj), manager="m", time="1")
    assert not any("f:status" in entry["fieldsV1"] for entry in live["metadata"].get("managedFields", ()))
    new = {**live, "status": {"replicas": 2}}
    live = managed.updated(NODE, live, new, manager="m", subresource="status", time="2")
    entry = live["metadata"]["managedFields"][-1]
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})


def test_updates_are_kept_of_ten_managers() -> None:
    live: Object | None = None
    for number in range(15):
        live = wrote(live, {"map": {f"k{n}": "v" for n in range(number + 1)}}, f"m{number:02}", time=f"{number:02}")
    assert live is not None
    assert len(live["metadata"]["managedFields"]) == 10
    assert {("f:spec", "f:map", f"f:k{n}") for n in range(6)} <= owned(live)["ancient-changes"]


@pytest.mark.parametrize("sent", [[], [{}]])
def test_sent_empty_entries_reset_them(sent: Any) -> None:
    live = wrote(None, {"map": {"a": "1"}}, "one")
    new = {**live, "metadata": {**live["metadata"], "managedFields": sent}}
    assert "managedFields" not in managed.updated(CUSTOM, live, new, manager="two", time="2")["metadata"]
    kept = managed.updated(CUSTOM, live, new, manager="two", subresource="status", time="2")
    assert kept == live


def test_kubectl_takes_over_what_it_applied_from_the_client() -> None:
    told = json.dumps({"apiVersion": "e.com/v1", "kind": "K", "spec": {"map": {"a": "1", "b": "1"}}})
    live = custom({"map": {"a": "1", "b": "1"}})
    live["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": told}
    live = managed.updated(CUSTOM, None, live, manager="kubectl-client-side-apply", time="1")
    made = applied(live, {"map": {"a": "2"}}, "kubectl")
    assert made["spec"]["map"] == {"a": "2", "b": "1"}
    annotation = made["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(annotation)["spec"] == {"map": {"a": "2"}}
    with pytest.raises(StatusError) as refused:
        applied(live, {"map": {"a": "2"}}, "another")
    assert refused.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-client-side-apply" using e.com/v1',
            "field": ".spec.map.a",
        }
    ]


def test_an_empty_map_in_place_of_a_text_is_applied() -> None:
    live = applied(applied(None, {"any": {"a": "text"}}, "one"), {"any": {"a": {}}}, "one", time="2")
    assert live["spec"]["any"] == {"a": {}}
