"""The graph of owners: whom a change makes worth a look."""

from __future__ import annotations

from native_samples import NOW

from coalmine.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Resource
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.garbage.graph import FOREGROUND, ORPHAN, Graph, Node, node_of


def node(resource: Resource, name: str, *owners: str, finalizer: str = "", namespace: str = "test") -> Node:
    """`owners` are names of ReplicaSets, with a dash before those that do not block. `finalizer`: it is going."""
    references = []
    for owner in owners:
        bare = owner.removeprefix("-")
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": bare, "uid": bare}
        references.append({**reference, "blockOwnerDeletion": bare == owner})
    metadata = {"name": name, "namespace": namespace, "uid": name, "ownerReferences": references}
    if finalizer:
        metadata |= {"deletionTimestamp": timestamp(NOW), "finalizers": [finalizer]}
    return node_of(resource, {"metadata": metadata})


def test_an_owner_that_is_not_known_is_looked_up() -> None:
    graph = Graph()
    assert graph.put(node(PODS, "pod", "rs")) == {"pod"}
    assert graph.put(node(REPLICA_SETS, "rs")) == set()
    assert graph.put(node(PODS, "other", "rs")) == set()
    assert [each.name for each in graph.dependents("rs")] == ["other", "pod"]


def test_a_reference_that_says_something_else_is_looked_up() -> None:
    graph = Graph()
    graph.put(node(DEPLOYMENTS, "rs"))  # the uid is that of another kind
    assert graph.put(node(PODS, "pod", "rs")) == {"pod"}
    graph.put(node(REPLICA_SETS, "far", namespace="elsewhere"))
    assert graph.put(node(PODS, "near", "far")) == {"near"}


def test_dependents_of_what_is_gone() -> None:
    graph = Graph()
    graph.put(node(REPLICA_SETS, "rs"))
    graph.put(node(PODS, "pod", "rs"))
    assert graph.remove("rs") == {"pod"}
    assert graph.remove("pod") == set()
    assert graph.dependents("rs") == []


def test_a_foreground_deletion() -> None:
    graph = Graph()
    graph.put(node(REPLICA_SETS, "rs"))
    graph.put(node(PODS, "pod", "rs"))
    assert graph.put(node(REPLICA_SETS, "rs", finalizer=FOREGROUND)) == {"rs", "pod"}
    assert graph.put(node(REPLICA_SETS, "rs", finalizer=FOREGROUND)) == set()
    assert graph.put(node(PODS, "late", "rs")) == {"late"}  # a new one goes, too
    assert graph.remove("pod") == {"rs"}
    assert graph.put(node(PODS, "late")) == {"rs"}  # it let go


def test_an_orphaning_deletion() -> None:
    graph = Graph()
    graph.put(node(REPLICA_SETS, "rs"))
    graph.put(node(PODS, "pod", "rs"))
    assert graph.put(node(REPLICA_SETS, "rs", finalizer=ORPHAN)) == {"rs"}


def test_what_no_longer_blocks_lets_its_owner_go() -> None:
    graph = Graph()
    graph.put(node(REPLICA_SETS, "rs", finalizer=FOREGROUND))
    graph.put(node(PODS, "pod", "rs"))
    assert "rs" in graph.put(node(PODS, "pod", "-rs"))
    (dependent,) = graph.dependents("rs")
    assert not dependent.owners[0].blocks
