"""What ``kubectl get`` prints: objects as rows of a meta.k8s.io/v1 Table (kubernetes/pkg/printers/internalversion)."""
