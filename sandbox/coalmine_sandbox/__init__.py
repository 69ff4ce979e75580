"""A small Kubernetes on one machine: for the demonstration, for tests, for users without a cluster.

`api` and `native` are its control plane, `plane` starts that or Kubernetes' own programs, `node` runs pods as
processes, `service_front` is what kube-proxy is, `lab` puts them together. `keep` sees that nothing is left,
without root; `isolate` does it for the real control plane, in namespaces.
"""
