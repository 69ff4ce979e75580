"""The scheduler (kube-scheduler's default profile, small): a node for each pod that has none."""
