"""Benchmarks: the sidecar beside nginx, HAProxy and no proxy at all. See README.md here."""
