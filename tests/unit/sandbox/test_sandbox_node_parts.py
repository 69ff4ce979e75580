"""Back-off, addresses, probes' counting, hosts file, volumes, certificates, binaries."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coalmine.kube.resources import Object
from coalmine_sandbox import binaries, hosts
from coalmine_sandbox.certificates import Authority
from coalmine_sandbox.node.addresses import Addresses, NoAddressError
from coalmine_sandbox.node.backoff import BackOff
from coalmine_sandbox.node.environment import MissingError, PodFacts
from coalmine_sandbox.node.probes import Probe, Streak
from coalmine_sandbox.node.volumes import Volumes


def test_backoff_doubles_and_forgets() -> None:
    backoff = BackOff()
    waits, now = [], 0.0
    for _ in range(8):
        waits.append(backoff.next(now))
        now += waits[-1] + 1.0
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.next(now + 601.0) == 0.0


def test_addresses_go_round_before_one_comes_again() -> None:
    there: list[str] = []
    pool = Addresses("10.0.0.0/29", there.append, there.remove)
    first, second = pool.take(), pool.take()
    assert (first, second) == ("10.0.0.1", "10.0.0.2")
    pool.give_back(first)
    assert pool.take() == "10.0.0.3"
    assert there == ["10.0.0.2", "10.0.0.3"]
    assert pool.take(preferred="10.0.0.6") == "10.0.0.6"
    assert pool.take(preferred="10.0.0.6") == "10.0.0.4"
    assert pool.take(preferred="192.168.0.1") == "10.0.0.5"
    assert pool.take() == first
    with pytest.raises(NoAddressError, match="all 6 addresses"):
        pool.take()
    pool.give_back("10.9.9.9")  # not ours: nothing happens


@pytest.mark.parametrize(
    ("results", "verdicts"),
    [
        ([True], [True]),
        ([False, False, False], [None, None, False]),
        ([False, False, True, False, False, False], [None, None, True, None, None, False]),
    ],
)
def test_streak(results: list[bool], verdicts: list[bool | None]) -> None:
    probe, streak = Probe.parse({"exec": {}}), Streak()
    assert [streak.add(ok, probe) for ok in results] == verdicts


def test_probe_defaults() -> None:
    probe = Probe.parse({"httpGet": {"port": 1}, "successThreshold": 2})
    assert (probe.initial_delay, probe.period, probe.timeout, probe.successes, probe.failures) == (0, 10, 1, 2, 3)


def test_hosts_are_cluster_names(tmp_path: Path) -> None:
    text = hosts.text({("default", "web"): "10.96.0.5", ("shop", "db"): "10.96.0.6"})
    assert text == (
        "127.0.0.1 localhost\n"
        "10.96.0.5 web.default.svc.cluster.local web.default.svc web.default web\n"
        "10.96.0.6 db.shop.svc.cluster.local db.shop.svc db.shop\n"
    )
    file = tmp_path / "hosts"
    file.write_text("x" * 1000)
    inode = file.stat().st_ino
    hosts.write(file, text)
    assert (file.read_text(), file.stat().st_ino) == (text, inode)


def facts(objects: dict[tuple[str, str], Object], volumes: list[Object]) -> PodFacts:
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}},
        "spec": {"volumes": volumes, "containers": []},
    }
    return PodFacts(pod, "10.0.0.1", "10.0.0.2", {}, lambda kind, name: objects.get((kind, name)))


def tree(folder: Path) -> dict[str, str]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return {
        str(f.relative_to(folder)): f.read_text()
        for f in files
        if not any(part.startswith("..") for part in f.relative_to(folder).parts)
    }


def test_config_map_volume_follows_its_object(tmp_path: Path) -> None:
    objects: dict[tuple[str, str], Object] = {}
    sources = facts(objects, [{"name": "v", "configMap": {"name": "c", "optional": True}}])
    volumes = Volumes(tmp_path)
    volumes.refresh(sources, {})
    assert tree(tmp_path / "v") == {}
    objects["ConfigMap", "c"] = {"kind": "ConfigMap", "data": {"one": "1", "two": "2"}}
    volumes.refresh(sources, {})
    assert tree(tmp_path / "v") == {"one": "1", "two": "2"}
    objects["ConfigMap", "c"] = {"kind": "ConfigMap", "data": {"two": "2b"}, "binaryData": {"three": "Mw=="}}
    volumes.refresh(sources, {})
    assert tree(tmp_path / "v") == {"two": "2b", "three": "3"}
    target = os.readlink(tmp_path / "v" / "..data")
    volumes.refresh(sources, {})
    assert os.readlink(tmp_path / "v" / "..data") == target, "nothing changed, nothing written"
    del objects["ConfigMap", "c"]
    volumes.refresh(sources, {})
    assert tree(tmp_path / "v") == {}


def test_projected_volume(tmp_path: Path) -> None:
    objects: dict[tuple[str, str], Object] = {("ConfigMap", "ca"): {"kind": "ConfigMap", "data": {"ca.crt": "CA"}}}
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "tls/ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    Volumes(tmp_path).refresh(facts(objects, [{"name": "v", "projected": {"sources": sources}}]), {"": "TOKEN"})
    folder = tmp_path / "v"
    assert {name: (folder / name).read_text() for name in ("token", "tls/ca.crt", "labels")} == {
        "token": "TOKEN",
        "tls/ca.crt": "CA",
        "labels": 'a="b"',
    }
    assert (folder / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"configMap": {"name": "none"}}, "configmap 'none' not found"),
        ({"secret": {"secretName": "none"}}, "secret 'none' not found"),
        ({"configMap": {"name": "c", "items": [{"key": "x", "path": "x"}]}}, "has no key 'x'"),
        ({"configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}, "leaves its volume"),
        ({"persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim is not known to this node"),
        ({"hostPath": {"path": "/nowhere/at/all"}}, "is not there"),
    ],
)
def test_missing_volumes_are_told(tmp_path: Path, volume: Object, said: str) -> None:
    objects: dict[tuple[str, str], Object] = {("ConfigMap", "c"): {"kind": "ConfigMap", "data": {"k": "1"}}}
    with pytest.raises(MissingError, match=said):
        Volumes(tmp_path).refresh(facts(objects, [{"name": "v", **volume}]), {})


def test_mounts(tmp_path: Path) -> None:
    objects: dict[tuple[str, str], Object] = {("ConfigMap", "c"): {"kind": "ConfigMap", "data": {"k": "1"}}}
    sources = facts(objects, [{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}])
    volumes = Volumes(tmp_path)
    volumes.refresh(sources, {})

    def mount(**fields: Any) -> Any:
        (one,) = volumes.mounts({"volumeMounts": [fields]}, sources.pod)
        return one.source.relative_to(tmp_path.resolve()), one.target, one.read_only

    assert mount(name="e", mountPath="/run/e") == (Path("e"), "/run/e", False)
    assert mount(name="e", mountPath="/e", readOnly=True) == (Path("e"), "/e", True)
    assert mount(name="e", mountPath="/e", subPath="deep/er") == (Path("e/deep/er"), "/e", False)
    assert mount(name="c", mountPath="/c")[2] is True
    assert (tmp_path / mount(name="c", mountPath="/k", subPath="k")[0]).read_text() == "1"
    with pytest.raises(MissingError, match="there is no x in the volume"):
        mount(name="c", mountPath="/k", subPath="x")
    with pytest.raises(MissingError, match="leaves the volume"):
        mount(name="e", mountPath="/k", subPath="../..")


def test_certificates_say_who_and_where() -> None:
    authority = Authority("ca", datetime(2030, 1, 1, tzinfo=UTC))
    root = x509.load_pem_x509_certificate(authority.certificate)
    server = x509.load_pem_x509_certificate(authority.issue("api", hosts=["localhost", "10.0.0.1"]).certificate)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1")]
    client = x509.load_pem_x509_certificate(authority.issue("me", groups=["system:masters"]).certificate)
    assert client.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"
    usage = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    for leaf in (server, client):
        leaf.verify_directly_issued_by(root)


def module(folder: Path, version: str = "v1.36.3", go: str = "1.26.0") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text(f"module x\n\ngo {go}\n\nrequire (\n\tk8s.io/kubernetes {version} // indirect\n)\n")
    (folder / "go.sum").write_text("sum\n")
    return folder


def test_cache_is_named_after_what_it_was_built_from(tmp_path: Path) -> None:
    first = binaries.cached(tmp_path, module(tmp_path / "m"))
    assert first.parts[-4:-2] == ("coalmine", "controlplane")
    assert first.parts[-2].startswith("v1.36.3-")
    (tmp_path / "m" / "go.sum").write_text("other\n")
    assert binaries.cached(tmp_path, tmp_path / "m") != first


def test_missing_binaries_are_named(tmp_path: Path) -> None:
    for name in binaries.NAMES[1:]:
        (tmp_path / name).touch(mode=0o755)
    with pytest.raises(binaries.BinariesError, match="lacks etcd: name a directory that holds etcd, kube-apiserver"):
        binaries.find_or_build(tmp_path, tmp_path)
    (tmp_path / "etcd").touch(mode=0o755)
    assert binaries.find_or_build(tmp_path, tmp_path) == tmp_path


FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo {version}; exit; fi
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then out=$2; fi
  case $1 in
    k8s.io/*) cp /bin/sh "$out$(basename "$1")" ;;
    go.etcd.io/*) cp /bin/sh "$out" ;;
  esac
  shift
done
exit {status}
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(version: str, status: int = 0) -> None:
        folder = tmp_path / "path"
        folder.mkdir(exist_ok=True)
        (folder / "go").write_text(FAKE_GO.format(version=version, status=status))
        (folder / "go").chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.defpath}")
    return install


def test_build_appears_whole_or_not_at_all(tmp_path: Path, go: Any) -> None:
    said: list[str] = []
    source = module(tmp_path / "m")
    target = tmp_path / "cache" / "bin"
    go("go1.26.8", status=1)
    with pytest.raises(binaries.BinariesError, match="go build failed"):
        binaries.build(target, source, say=said.append)
    assert list(target.parent.iterdir()) == []
    go("go1.26.8")
    binaries.build(target, source, say=said.append)
    assert binaries.find(target) == target
    assert list(target.parent.iterdir()) == [target]
    assert "this takes some minutes, once" in said[0]


def test_old_or_missing_go_is_told(tmp_path: Path, go: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = module(tmp_path / "m")
    go("go1.19.8")
    with pytest.raises(
        binaries.BinariesError, match=r"is go1\.19\.8: install Go 1\.26 or later, or set KUBEBUILDER_ASSETS"
    ):
        binaries.build(tmp_path / "bin", source)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(binaries.BinariesError, match="there is no go in PATH"):
        binaries.build(tmp_path / "bin", source)
