"""The sandbox's API server: as much of kube-apiserver as our components, our tests and kubectl use.

`server` speaks HTTP, `handler` decides what a request is about, `store` holds the objects and their history, `schema`
knows what they look like, `merge` how patches and applies combine, `admission` who may change or refuse a
write. What it is not: docs/sandbox.md.

Stored objects are shared and never written to: who changes one, changes a copy.
"""
