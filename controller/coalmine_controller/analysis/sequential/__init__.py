"""Canary against control, looked at every second or so, with a bound on false alarms however often one looks. PURE.

`compare.look` is the way in. How it works, what it rests on and what it measured is in docs/sequential.md. Nothing in
this package knows the clock, Kubernetes or a sidecar: times and counters are handed in, the state is a value.
"""
