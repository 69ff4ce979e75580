"""A small Kubernetes on one machine: for the demonstration, for tests, for users without a cluster.

`control_plane` starts the real programs, `node` runs pods as processes, `service_front` is what
kube-proxy is, `lab` puts them together, `isolate` keeps all of it away from the machine.
"""
