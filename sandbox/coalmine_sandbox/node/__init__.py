"""The node agent: what a kubelet is, with a process where a container would be.

It joins the control plane as a Node and runs each container of each pod bound to it as a process
on this machine, with the pod's own address, environment, volumes, probes, hooks, restarts and
order of ending. What a process sees of the machine is not restricted: this is for tests and
demonstrations, not for programs that one does not trust.

Not there: images' file systems, resource limits, users, persistent volumes, logs and exec through
the API server. Volumes follow their ConfigMap at once (a kubelet takes up to a minute).
"""
