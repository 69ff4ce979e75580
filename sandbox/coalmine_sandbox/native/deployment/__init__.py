"""The Deployment controller (kube-controller-manager's pkg/controller/deployment).

`decide` says what it would write, as a pure function of a Deployment, its ReplicaSets and the time; `controller`
observes, asks and writes.
"""
