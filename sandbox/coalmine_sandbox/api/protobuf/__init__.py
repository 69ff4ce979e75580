"""Kubernetes' protobuf, read only: kubectl's typed commands (``create``, ``auth can-i``) send nothing else.

Answers are always JSON, which they take. ``numbers.json`` is recorded from Kubernetes' own generated.proto files
(``python -m coalmine_sandbox.api.protobuf``).
"""
