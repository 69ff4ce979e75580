"""Volumes without mounts: which texts of a spec are paths below a mount."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from coalmine.kube.resources import Object
from coalmine_sandbox.node.environment import MissingError, PodFacts, variables_of
from coalmine_sandbox.node.process import Mount
from coalmine_sandbox.node.rewriting import Rewriting
from coalmine_sandbox.node.volumes import Volumes

MOUNTS = [
    Mount(Path("/v/1"), "/log"),
    Mount(Path("/v/2"), "/var/run/coalmine"),
    Mount(Path("/v/3"), "/var/run/coalmine/keys/"),
    Mount(Path("/v/4/key"), "/etc/app.conf"),
    Mount(Path("/v/5"), "/v"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/log", "/v/1"),
        ("/log/", "/v/1/"),
        ("/log/all", "/v/1/all"),
        ("echo x >> /log/all; cat </log/all", "echo x >> /v/1/all; cat </v/1/all"),
        ("--state=/var/run/coalmine", "--state=/v/2"),
        ("/var/run/coalmine/keys/a", "/v/3/a"),
        ("/var/run/coalmine/keysets", "/v/2/keysets"),
        ("open('/log/all'), \"/log\"", "open('/v/1/all'), \"/v/1\""),
        ("say(b'/log')\\n", "say(b'/v/1')\\n"),
        ("/usr/bin:/log:/bin", "/usr/bin:/v/1:/bin"),
        ("log to /log.", "log to /v/1."),
        ("/etc/app.conf", "/v/4/key"),
        # what was written is not looked at again
        ("/v/log", "/v/5/log"),
        # other paths
        ("/logs", "/logs"),
        ("/log.txt", "/log.txt"),
        ("/log-old", "/log-old"),
        ("/log_1", "/log_1"),
        ("x/log", "x/log"),
        ("/x/log", "/x/log"),
        ("./log", "./log"),
        ("~/log", "~/log"),
        ("$HOME/log", "$HOME/log"),
        ("${HOME}/log", "${HOME}/log"),
        ("$(HOME)/log", "$(HOME)/log"),
        ("*/log", "*/log"),
        ("/log*", "/log*"),
        ("http://log/x", "http://log/x"),
        ("http://host/log", "http://host/log"),
        ("/etc/app.config", "/etc/app.config"),
        ("/var/run", "/var/run"),
        ("é/log", "é/log"),
        ("", ""),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert Rewriting(MOUNTS).text(text) == expected


def test_whole_container() -> None:
    probe = {"exec": {"command": ["test", "-e", "/log/up"]}, "periodSeconds": 1}
    spec: Object = {
        "name": "main",
        "image": "x:/log",
        "command": ["sh", "-c", "ls /log"],
        "args": ["--log", "/log/$(NAME)"],
        "workingDir": "/log",
        "env": [
            {"name": "DIR", "value": "/log"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "/log"}}},
            {"name": "EMPTY"},
        ],
        "startupProbe": probe,
        "readinessProbe": {"httpGet": {"path": "/log", "port": 80}},
        "lifecycle": {"preStop": {"exec": {"command": ["touch", "/log/gone"]}}, "postStart": {"sleep": {"seconds": 1}}},
        "volumeMounts": [{"name": "log", "mountPath": "/log"}],
    }
    before = str(spec)
    assert Rewriting(MOUNTS).container(spec) == {
        **spec,
        "command": ["sh", "-c", "ls /v/1"],
        "args": ["--log", "/v/1/$(NAME)"],
        "workingDir": "/v/1",
        "env": [{"name": "DIR", "value": "/v/1"}, *spec["env"][1:]],
        "startupProbe": {"exec": {"command": ["test", "-e", "/v/1/up"]}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"exec": {"command": ["touch", "/v/1/gone"]}}, "postStart": {"sleep": {"seconds": 1}}},
    }
    assert str(spec) == before
    assert Rewriting([]).container(spec) is spec


def test_values_of_config_maps_are_paths_too() -> None:
    config = {"kind": "ConfigMap", "data": {"dir": "/log/x", "other": "/logs"}}
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}}
    facts = PodFacts(pod, "", "", {}, lambda kind, name: config)
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "A_"}],
        "env": [
            {"name": "DIR", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "dir"}}},
            {"name": "BELOW", "value": "$(DIR)/below"},
        ],
    }
    assert variables_of(container, facts, {"PATH": "/log"}, Rewriting(MOUNTS).text) == {
        "PATH": "/log",
        "A_dir": "/v/1/x",
        "A_other": "/logs",
        "DIR": "/v/1/x",
        "BELOW": "/v/1/x/below",
    }


def test_root_cannot_be_rewritten() -> None:
    with pytest.raises(MissingError, match="needs a mount namespace"):
        Rewriting([Mount(Path("/v/1"), "/")])


def volumes_of(pod: Path, short: Path) -> tuple[Volumes, PodFacts]:
    objects: dict[tuple[str, str], Object] = {("ConfigMap", "c"): {"kind": "ConfigMap", "data": {"k": "1"}}}
    spec = {"volumes": [{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}]}
    made: Object = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}
    return Volumes(pod, short), PodFacts(made, "", "", {}, lambda kind, name: objects.get((kind, name)))


def test_volumes_are_short_and_go_away(tmp_path: Path) -> None:
    pod, short = tmp_path / "pods" / ("n" * 100) / "volumes", tmp_path / "v"
    volumes, facts = volumes_of(pod, short)
    volumes.refresh(facts, {})

    def place(of: Volumes, **mount: Any) -> Path:
        (one,) = of.mounts({"volumeMounts": [{"mountPath": "/m", **mount}]}, facts.pod)
        return one.source

    empty = place(volumes, name="e")
    assert empty.parent == short
    assert not empty.is_symlink()
    (empty / "file").touch()
    assert (pod / "e" / "file").exists(), "seen where all its volumes are, too"
    assert (place(volumes, name="c") / "k").read_text() == "1"
    assert place(volumes, name="c", subPath="k").read_text() == "1"
    assert place(volumes, name="e", subPath="deep").parent == empty
    with pytest.raises(MissingError, match="leaves the volume"):
        place(volumes, name="e", subPath="..")

    again, _ = volumes_of(pod, short)  # another agent finds them
    again.refresh(facts, {})
    assert place(again, name="e") == empty
    again.remove()
    assert list(short.iterdir()) == []
    assert not pod.exists()


def test_unix_socket_fits_into_a_volume() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pod = Path(folder) / ("n" * 100) / "volumes"
        volumes, facts = volumes_of(pod, Path(folder) / "v")
        volumes.refresh(facts, {})
        (mount,) = volumes.mounts({"volumeMounts": [{"name": "e", "mountPath": "/m"}]}, facts.pod)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fspath(mount.source / "socket"))
