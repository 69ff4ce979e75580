"""How the controller grows: many annotated Deployments on Kubernetes' own control plane, pods and sidecars faked.

What is real: etcd, the API server, the Deployment and ReplicaSet controllers, our webhook, our controller, which has
one core for itself. What is faked: the kubelet (`kubelet` marks pods Running and Ready) and the sidecars (`sidecars`
answers every push, whatever pod it is for). So the figures are the controller's, not a cluster's.
"""
