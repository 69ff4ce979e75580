"""The Pod Security Standards, baseline and restricted, as kube-apiserver 1.36 checks and words them. Pure.

Each check is a function of a pod's spec and annotations that gives a `Violation` or None; their order is the order in
which violations are told: baseline's first, each group by its name. Windows and pods with user namespaces of their
own, which the real one lets off some checks, cannot run in the sandbox: they are judged as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission.pods import containers


class Violation(NamedTuple):
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


class _Pod:
    """What checks look at."""

    def __init__(self, spec: Object, annotations: Mapping[str, str]) -> None:
        self.spec = spec
        self.annotations = annotations
        self.containers = list(containers(spec))
        self.security: Object = spec.get("securityContext") or {}

    def names(self, bad: Callable[[Object], bool]) -> list[str]:
        """The containers that a function of the container finds bad."""
        return [str(c["name"]) for c in self.containers if bad(c)]

    def insecure(self, bad: Callable[[Object], bool]) -> list[str]:
        """The same of its securityContext."""
        return self.names(lambda c: bad(c.get("securityContext") or {}))

    def setters(self, bad: Callable[[Object], bool]) -> str:
        """The pod, and the containers, whose securityContext is found bad; "" where none is."""
        found = ["pod"] if bad(self.security) else []
        if names := self.insecure(bad):
            found.append(_containers(names))
        return " and ".join(found)

    def values(self, *path: str) -> list[Any]:
        """What is set at a path of any securityContext."""
        found = []
        for context in (self.security, *(c.get("securityContext") or {} for c in self.containers)):
            value: Any = context
            for part in path:
                value = (value or {}).get(part)
            if value is not None:
                found.append(value)
        return found


def _quoted(items: Iterable[Any]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _sorted(items: Iterable[Any]) -> str:
    return _quoted(sorted({str(item) for item in items}))


def _plural(word: str, items: Iterable[Any], plural: str = "") -> str:
    return word if len(list(items)) == 1 else plural or f"{word}s"


def _containers(names: list[str]) -> str:
    return f"{_plural('container', names)} {_quoted(names)}"


# --- baseline ----------------------------------------------------------------------------------

_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
# fmt: off
_CAPABILITIES: Final = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))
_SYSCTLS: Final = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
))
_VOLUMES: Final = frozenset((
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
))
# fmt: on
_SELINUX_TYPES: Final = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def _app_armor(pod: _Pod) -> Violation | None:
    def bad(context: Object) -> bool:
        return (context.get("appArmorProfile") or {}).get("type") not in (None, "RuntimeDefault", "Localhost")

    setters = [said] if (said := pod.setters(bad)) else []
    values = sorted({v for v in pod.values("appArmorProfile", "type") if v not in ("RuntimeDefault", "Localhost")})
    noted = sorted(
        f'{key}="{value}"'
        for key, value in pod.annotations.items()
        if key.startswith(_APPARMOR) and not (value in ("", "runtime/default") or value.startswith("localhost/"))
    )
    if noted:
        setters.append(_plural("annotation", noted))
    if not setters:
        return None
    values += noted
    reason = _plural("forbidden AppArmor profile", values)
    return Violation(reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}")


def _added(context: Object) -> list[str]:
    return (context.get("capabilities") or {}).get("add") or []


def _capabilities(pod: _Pod) -> Violation | None:
    names = pod.insecure(lambda c: not _CAPABILITIES.issuperset(_added(c)))
    if not names:
        return None
    added = {each for c in pod.containers for each in _added(c.get("securityContext") or {})} - _CAPABILITIES
    detail = f"{_containers(names)} must not include {_sorted(added)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _host_namespaces(pod: _Pod) -> Violation | None:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(field)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def _host_paths(pod: _Pod) -> Violation | None:
    names = [v["name"] for v in pod.spec.get("volumes") or () if v.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{_plural('volume', names)} {_quoted(names)}") if names else None


def _host_ports(pod: _Pod) -> Violation | None:
    def ports(container: Object) -> list[str]:
        return [str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")]

    names = pod.names(lambda c: bool(ports(c)))
    if not names:
        return None
    every = sorted({port for c in pod.containers for port in ports(c)})
    uses = _plural("uses", names, "use")
    return Violation("hostPort", f"{_containers(names)} {uses} {_plural('hostPort', every)} {', '.join(every)}")


def _hosts(container: Object) -> list[str]:
    """What probes and lifecycle handlers name as their host."""
    handlers = [container.get(probe) or {} for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
    lifecycle = container.get("lifecycle") or {}
    handlers += [lifecycle.get(hook) or {} for hook in ("postStart", "preStop")]
    hosts = [(h.get(action) or {}).get("host") for h in handlers for action in ("httpGet", "tcpSocket")]
    return [str(host) for host in hosts if host]


def _probe_hosts(pod: _Pod) -> Violation | None:
    names = sorted(pod.names(lambda c: bool(_hosts(c))))
    if not names:
        return None
    hosts = sorted({host for c in pod.containers for host in _hosts(c)})
    uses, what = _plural("uses", names, "use"), _plural("probe or lifecycle host", hosts)
    return Violation("probe or lifecycle host", f"{_containers(names)} {uses} {what} {_quoted(hosts)}")


def _privileged(pod: _Pod) -> Violation | None:
    names = pod.insecure(lambda c: c.get("privileged") is True)
    detail = f"{_containers(names)} must not set securityContext.privileged=true"
    return Violation("privileged", detail) if names else None


def _proc_mount(pod: _Pod) -> Violation | None:
    names = pod.insecure(lambda c: c.get("procMount") not in (None, "Default"))
    if not names:
        return None
    values = _sorted(v for v in pod.values("procMount") if v != "Default")
    return Violation("procMount", f"{_containers(names)} must not set securityContext.procMount to {values}")


def _selinux(pod: _Pod) -> Violation | None:
    def bad(context: Object) -> bool:
        options = context.get("seLinuxOptions")
        if options is None:
            return False
        return (options.get("type") or "") not in _SELINUX_TYPES or bool(options.get("user") or options.get("role"))

    setters = pod.setters(bad)
    if not setters:
        return None
    types = sorted({t for t in pod.values("seLinuxOptions", "type") if t not in _SELINUX_TYPES})
    said = [f"{_plural('type', types)} {_quoted(types)}"] if types else []
    said += [f"{field} may not be set" for field in ("user", "role") if any(pod.values("seLinuxOptions", field))]
    return Violation("seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}")


_SECCOMP: Final = ("RuntimeDefault", "Localhost")


def _seccomp(pod: _Pod) -> Violation | None:
    def bad(context: Object) -> bool:
        return (context.get("seccompProfile") or {}).get("type") not in (None, *_SECCOMP)

    setters = pod.setters(bad)
    if not setters:
        return None
    values = _sorted(v for v in pod.values("seccompProfile", "type") if v not in _SECCOMP)
    return Violation("seccompProfile", f"{setters} must not set securityContext.seccompProfile.type to {values}")


def _sysctls(pod: _Pod) -> Violation | None:
    found = [s["name"] for s in pod.security.get("sysctls") or () if s["name"] not in _SYSCTLS]
    return Violation("forbidden sysctls", ", ".join(found)) if found else None


def _host_process(pod: _Pod) -> Violation | None:
    setters = pod.setters(lambda c: (c.get("windowsOptions") or {}).get("hostProcess") is True)
    detail = f"{setters} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail) if setters else None


# --- restricted --------------------------------------------------------------------------------


def _escalation(pod: _Pod) -> Violation | None:
    names = pod.insecure(lambda c: c.get("allowPrivilegeEscalation") is not False)
    detail = f"{_containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail) if names else None


def _few_capabilities(pod: _Pod) -> Violation | None:
    keeping = pod.insecure(lambda c: "ALL" not in ((c.get("capabilities") or {}).get("drop") or ()))
    adding = pod.insecure(lambda c: bool(set(_added(c)) - {"NET_BIND_SERVICE"}))
    said = []
    if keeping:
        said.append(f'{_containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        added = {each for c in pod.containers for each in _added(c.get("securityContext") or {})}
        what = _sorted(added - {"NET_BIND_SERVICE"})
        said.append(f"{_containers(adding)} must not include {what} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(said)) if said else None


def _few_volumes(pod: _Pod) -> Violation | None:
    bad = [v for v in pod.spec.get("volumes") or () if not any(v.get(kind) is not None for kind in _VOLUMES)]
    if not bad:
        return None
    names = [v["name"] for v in bad]
    kinds = {next((key for key in v if key != "name"), "unknown") for v in bad}
    uses, what = _plural("uses", names, "use"), _plural("restricted volume type", kinds)
    return Violation(
        "restricted volume types", f"{_plural('volume', names)} {_quoted(names)} {uses} {what} {_sorted(kinds)}"
    )


def _non_root(pod: _Pod) -> Violation | None:
    reason = "runAsNonRoot != true"
    if setters := pod.setters(lambda c: c.get("runAsNonRoot") is False):
        return Violation(reason, f"{setters} must not set securityContext.runAsNonRoot=false")
    if pod.security.get("runAsNonRoot"):
        return None
    names = pod.insecure(lambda c: c.get("runAsNonRoot") is None)
    detail = f"pod or {_containers(names)} must set securityContext.runAsNonRoot=true"
    return Violation(reason, detail) if names else None


def _not_user_zero(pod: _Pod) -> Violation | None:
    setters = pod.setters(lambda c: c.get("runAsUser") == 0)
    return Violation("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def _some_seccomp(pod: _Pod) -> Violation | None:
    if found := _seccomp(pod):
        return found
    if pod.security.get("seccompProfile"):
        return None
    names = pod.insecure(lambda c: c.get("seccompProfile") is None)
    wanted = '"RuntimeDefault" or "Localhost"'
    detail = f"pod or {_containers(names)} must set securityContext.seccompProfile.type to {wanted}"
    return Violation("seccompProfile", detail) if names else None


_Check = Callable[[_Pod], Violation | None]
_BASELINE: Final[tuple[_Check, ...]] = (
    _app_armor,
    _capabilities,
    _host_namespaces,
    _host_paths,
    _host_ports,
    _probe_hosts,
    _privileged,
    _proc_mount,
    _selinux,
    _seccomp,
    _sysctls,
    _host_process,
)
#: What a stricter check of restricted stands for.
_OVERRIDDEN: Final = (_capabilities, _host_paths, _seccomp)
_RESTRICTED: Final[tuple[_Check, ...]] = (
    *(check for check in _BASELINE if check not in _OVERRIDDEN),
    _escalation,
    _few_capabilities,
    _few_volumes,
    _non_root,
    _not_user_zero,
    _some_seccomp,
)
_LEVELS: Final[Mapping[str, tuple[_Check, ...]]] = {
    "privileged": (),
    "baseline": _BASELINE,
    "restricted": _RESTRICTED,
}


def violations(level: str, spec: Object, annotations: Mapping[str, str]) -> list[Violation]:
    """What a pod does that its namespace's level does not allow."""
    pod = _Pod(spec, annotations)
    found = (check(pod) for check in _LEVELS[level])
    return [each for each in found if each is not None]
