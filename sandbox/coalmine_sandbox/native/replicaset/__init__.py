"""The ReplicaSet controller (kube-controller-manager's pkg/controller/replicaset)."""
