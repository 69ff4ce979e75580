"""The node agent: what a kubelet is, with a process where a container would be.

It joins the control plane as a Node and runs each container of each pod bound to it as a process
on this machine, with the pod's own address, environment, volumes, probes, hooks, restarts and
order of ending. What a process sees of the machine is not restricted: this is for tests and
demonstrations, not for programs that one does not trust.

As root it mounts volumes where the pod wants them, for its processes only. An ordinary user's agent
(``--mounts rewrite``) changes the paths in the pod's spec instead (`rewriting`): volumes can then be
seen, and read-only ones be written, by every process of that user, and a path that a program has
built in or reads from a file is not found. Pod addresses are then those of 127.0.0.0/8.

Logs are read through the API server (kubectl logs). Not there: exec, attach and port-forward, images'
file systems, resource limits, users, persistent volumes. Volumes follow their ConfigMap at once (a
kubelet takes up to a minute).
"""
