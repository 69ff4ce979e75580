"""What the node's programs are told, as the text of their files.

Pure. Some of it is about machines that withhold something: without CAP_SYS_RESOURCE no process may have a lower
oom_score_adj than its parent, so containerd is told to restrict it and the kubelet to leave its own; since 1.31 a
kubelet must be told that control groups of version 1 are meant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from coalmine_sandbox.ground import REAL

NODE: Final = "node"
#: The node's device: it has the node's address, and is where the default route goes, or no address of a Service could
#: be asked for from the node itself: a packet is routed before it is rewritten.
DEVICE: Final = "node0"
BRIDGE: Final = "pods0"
#: A /24 of the range, as a node gets it from a cluster's controller.
PODS: Final = "10.244.0.0/24"
DOMAIN: Final = "cluster.local"
CNI_PROGRAMS: Final = "/usr/lib/cni"


def containerd(state: Path, runc: str, pause: str) -> str:
    cri = '[plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{state}/containerd/root"
state = "{state}/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper",
]
[grpc]
  address = "{socket(state)}"
{cri}]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
  BinaryName = "{runc}"
{cri}.cni]
  bin_dir = "{CNI_PROGRAMS}"
  conf_dir = "{state}/cni"
"""


def socket(state: Path) -> Path:
    return state / "containerd" / "containerd.sock"


def network(state: Path) -> str:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        # a pod may be answered by itself, through its own Service
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(state / "addresses"),
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]})


def kubelet(state: Path, cgroup: str) -> str:
    pki = state / "pki"
    configuration: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": REAL.node,
        "containerRuntimeEndpoint": f"unix://{socket(state)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "healthzBindAddress": "127.0.0.1",
        "resolvConf": "",
        "clusterDNS": [REAL.node],
        "clusterDomain": DOMAIN,
        "podLogsDir": str(state / "pod-logs"),
        "volumePluginDir": str(state / "kubelet" / "plugins-exec"),
        # nothing could be pulled again
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "imageMinimumGCAge": "24h",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "maxPods": 100,
    }
    return json.dumps(configuration, indent=1)


def kube_proxy(state: Path) -> str:
    configuration: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "oomScoreAdj": 0,
        "clusterCIDR": REAL.pods,
        "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": str(state / "kube-proxy.kubeconfig")},
        "bindAddress": REAL.node,
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
        # the machine's own limits stay
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return json.dumps(configuration, indent=1)


def corefile(kubeconfig: Path) -> str:
    return f"""\
{DOMAIN}:53 {{
    bind {REAL.node}
    errors
    ready 127.0.0.1:8181
    kubernetes {DOMAIN} {{
        kubeconfig {kubeconfig}
        pods disabled
        ttl 5
    }}
}}
"""
