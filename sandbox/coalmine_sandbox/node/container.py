"""One container of a pod: started, probed, restarted, ended.

Rules (the kubelet's): a sidecar is always restarted, others by the pod's restartPolicy, after
the wait of `backoff`; what the pod refers to and is missing leaves it waiting with a reason; a
failed startup or liveness probe ends it like a deletion would, hooks included. Everything that
is told outside is read from the attributes; `changed` says that one of them did.
"""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coalmine.kube.resources import Object
from coalmine_sandbox.keep import family
from coalmine_sandbox.node.backoff import BackOff
from coalmine_sandbox.node.environment import MissingError, PodFacts, command_line, variables_of
from coalmine_sandbox.node.handlers import Target, named_ports, perform
from coalmine_sandbox.node.images import Images, UnknownImageError
from coalmine_sandbox.node.launcher import CANNOT_START
from coalmine_sandbox.node.logs import NoLogError, RunLog
from coalmine_sandbox.node.probes import watch_over
from coalmine_sandbox.node.process import Mount, Process, start
from coalmine_sandbox.node.rewriting import Rewriting
from coalmine_sandbox.node.status import ContainerView, Kind, Running, State, Terminated, Waiting
from coalmine_sandbox.node.volumes import Volumes

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: After the preStop hook has used the grace up, a container still gets this long.
_LEAST_GRACE: Final = 2.0
#: What a kubelet calls these when it is asked for a log.
_NOT_PULLED: Final = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
#: A missing ConfigMap is looked for again when one changes, and this often in any case.
_LOOK_AGAIN: Final = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container gets from its pod and its node."""

    facts: Callable[[], PodFacts]
    volumes: Volumes
    images: Images
    directory: Path
    inputs_changed: asyncio.Event
    #: Set when the pod began to end.
    ending: asyncio.Event
    changed: Callable[[], None]
    now: Callable[[], float]
    #: What every process of a pod is told (the address of the API server).
    variables: Callable[[], Mapping[str, str]]
    #: Volumes are seen where they are, and the spec's paths changed to that; else at their mountPath.
    rewrite: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """A container with everything that it needs: `spec` has the paths that its process sees."""

    spec: Object
    command: list[str]
    environment: dict[str, str]
    mounts: list[Mount]


class Container:
    """`supervise` runs it until it has ended for good; `terminate` ends it."""

    def __init__(self, spec: Object, kind: Kind, around: Surroundings, before: Object | None) -> None:
        """`before` is its containerStatus from an agent that lost its processes."""
        self.spec = spec
        self.kind = kind
        self.name = str(spec["name"])
        self.state: State = Waiting("ContainerCreating" if kind is Kind.APP else "PodInitializing")
        self.last: Terminated | None = None
        self.restarts = 0
        self.ready = False
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()
        self.process: Process | None = None
        self._around = around
        self._spec = spec
        self._identity = ""
        self._target: Target | None = None
        self._backoff = BackOff()
        #: The logs of the run that is or was last, and the one before it.
        self._logs: dict[int, RunLog] = {}
        self._deadline: asyncio.Timeout | None = None
        if before and before.get("containerID"):
            self.restarts = int(before.get("restartCount", 0)) + 1
            now = around.now()
            self.last = Terminated(137, "ContainerStatusUnknown", now, now, "the node agent was started again")

    def view(self) -> ContainerView:
        return ContainerView(
            name=self.name,
            kind=self.kind,
            image=str(self.spec.get("image", "")),
            state=self.state,
            last=self.last,
            restarts=self.restarts,
            ready=self.ready,
            started=self.started.is_set(),
            identity=self._identity,
        )

    async def supervise(self, restart_policy: str) -> int:
        """Run it, again and again; its last exit code once it is not to be restarted."""
        while True:
            code = await self._run(await self._prepare())
            again = (
                self.kind is Kind.SIDECAR
                or (restart_policy == "Always" and self.kind is Kind.APP)
                or (restart_policy != "Never" and code != 0)
            )
            if self._around.ending.is_set() or not again:
                self.stopped.set()
                return code
            assert isinstance(self.state, Terminated)
            self.last = self.state
            self.restarts += 1
            wait = self._backoff.next(self.last.finished) - (self._around.now() - self.last.finished)
            if wait > 0:
                self._wait(
                    "CrashLoopBackOff", f"back-off {self._backoff.delay / 2:g}s restarting failed container={self.name}"
                )
                await asyncio.sleep(wait)

    def log(self, previous: bool) -> tuple[RunLog, Callable[[], bool]]:
        """The log of its run, or of the one before it, and whether that is over. Raises NoLogError.

        While it waits to be started again, the run that ended last counts as both (the kubelet's rule).
        """
        pod = self._around.facts().pod["metadata"]["name"]
        waiting = isinstance(self.state, Waiting)
        if previous and self.last is None:
            raise NoLogError(f'previous terminated container "{self.name}" in pod "{pod}" not found')
        if waiting and self.last is None:
            assert isinstance(self.state, Waiting)
            reason = _NOT_PULLED.get(self.state.reason, self.state.reason)
            raise NoLogError(f'container "{self.name}" in pod "{pod}" is waiting to start: {reason}')
        number = self.restarts - 1 if previous or waiting else self.restarts
        log = self._logs.get(number)
        if log is None:  # printed under an agent before us: of its times, only the last is known
            file = self._around.directory / f"{number}.log"
            log = RunLog(file, file.stat().st_mtime if file.exists() else self._around.now())
        return log, lambda: self.process is None or self.restarts != number

    # --- starting ------------------------------------------------------------------------------

    async def _prepare(self) -> Prepared:
        """What to start, as soon as everything that it needs is there."""
        pulling = BackOff(delay=10.0)
        while True:
            self._around.inputs_changed.clear()
            try:
                return self._resolve(self._around.facts())
            except UnknownImageError as error:
                self._wait("ErrImagePull", str(error))
                await asyncio.sleep(1.0)
                wait = pulling.next(self._around.now())
                self._wait("ImagePullBackOff", f"Back-off pulling image: {error}")
                await asyncio.sleep(wait)
            except MissingError as error:
                self._wait("CreateContainerConfigError", str(error))
                try:
                    async with asyncio.timeout(_LOOK_AGAIN):
                        await self._around.inputs_changed.wait()
                except TimeoutError:
                    continue

    def _resolve(self, facts: PodFacts) -> Prepared:
        """Raises UnknownImageError and MissingError."""
        around = self._around
        image = around.images.resolve(str(self.spec.get("image", "")), facts.address)
        mounts = around.volumes.mounts(self.spec, facts.pod)
        rewriting = Rewriting(mounts if around.rewrite else ())
        spec = rewriting.container(self.spec)
        base = {
            "PATH": ":".join([*image.executables, _PATH]),
            "HOSTNAME": str(facts.pod["metadata"]["name"]),
            "HOME": str(around.directory / "root") if around.rewrite else "/root",
            "LANG": "C.UTF-8",
        }
        variables = variables_of(spec, facts, {**base, **around.variables(), **image.env}, rewriting.text)
        command = command_line(spec, image.command, variables)
        if not command:
            raise MissingError("no command specified: neither the image nor the container has one")
        return Prepared(spec, command, variables, [] if around.rewrite else mounts)

    def _wait(self, reason: str, message: str) -> None:
        self.state = Waiting(reason, message)
        self._around.changed()

    async def _run(self, prepared: Prepared) -> int:
        """Start the process, probe it, wait for its end; its exit code."""
        self._spec = prepared.spec
        working = str(prepared.spec.get("workingDir") or "")
        directory = self._around.directory
        (directory / "root").mkdir(parents=True, exist_ok=True)
        began = self._around.now()
        process = start(
            prepared.command,
            prepared.environment,
            directory / f"{self.restarts}.log",
            mounts=prepared.mounts,
            directory=working,
        )
        log = RunLog(directory / f"{self.restarts}.log", began)
        self._logs = {self.restarts: log, **{n: old for n, old in self._logs.items() if n == self.restarts - 1}}
        self._identity = uuid.uuid4().hex
        self.process = process
        # for tests and people who want to end it from outside
        (directory / "pid").write_text(str(process.pid))
        address = self._around.facts().address
        self._target = Target(address, named_ports(self.spec), process, prepared.environment, working)
        self.state = Running(began)
        self._around.changed()
        try:
            async with asyncio.TaskGroup() as group:
                probing = group.create_task(self._watch_over(self._target))
                marking = group.create_task(log.mark(self._around.now))
                code = await process.wait()
                for task in (probing, marking):
                    task.cancel()
        finally:
            process.kill()
            family.end_marked(directory)  # those that have left its process group
            (directory / "pid").unlink(missing_ok=True)
            self.process = None
            self.ready = False
            self.started.clear()
            log.note(self._around.now())
        reason = "StartError" if code == CANNOT_START else "Completed" if code == 0 else "Error"
        self.state = Terminated(code, reason, began, self._around.now())
        self._around.changed()
        return code

    async def _watch_over(self, target: Target) -> None:
        if hook := (self._spec.get("lifecycle") or {}).get("postStart"):
            outcome = await perform(hook, target)
            if not outcome.ok:
                await self._unhealthy("PostStartHook", outcome.message, None)
                return
        await watch_over(
            self._spec,
            target,
            started=self._has_started,
            ready=self._set_ready,
            unhealthy=self._unhealthy,
            ending=self._around.ending,
        )

    def _has_started(self) -> None:
        self.started.set()
        self._around.changed()

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._around.changed()

    async def _unhealthy(self, _kind: str, _message: str, grace: float | None) -> None:
        if grace is None:
            grace = float(self._around.facts().pod["spec"].get("terminationGracePeriodSeconds") or 30)
        await self._end(asyncio.get_running_loop().time() + grace, None)

    # --- ending --------------------------------------------------------------------------------

    async def terminate(self, deadline: float, turn: Callable[[], Awaitable[None]] | None) -> None:
        """preStop, then (in its turn) SIGTERM, then at `deadline` (loop time) SIGKILL; returns at its end."""
        await self._end(deadline, turn)
        await self.stopped.wait()

    def shorten(self, deadline: float) -> None:
        """A second deletion with a shorter grace."""
        when = self._deadline.when() if self._deadline else None
        if self._deadline is not None and when is not None and deadline < when:
            self._deadline.reschedule(deadline)

    async def _end(self, deadline: float, turn: Callable[[], Awaitable[None]] | None) -> None:
        process, target = self.process, self._target
        if process is None or target is None:
            return
        hook = (self._spec.get("lifecycle") or {}).get("preStop")
        hooked = False
        try:
            async with asyncio.timeout_at(deadline) as self._deadline:
                if hook:
                    hooked = True
                    await perform(hook, target)
                if turn is not None:
                    await turn()
                process.signal(signal.SIGTERM)
                await process.wait()
                return
        except TimeoutError:
            pass
        finally:
            self._deadline = None
        if hooked:
            process.signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_LEAST_GRACE):
                    await process.wait()
                    return
            except TimeoutError:
                pass
        process.kill()
