"""The native controllers' rules: as much of kube-controller-manager and kube-scheduler as the sandbox needs.

Each controller is a file (or a folder where it is large) with its decisions pure and its writes apart;
`manager` runs them. They see the API server through `coalmine.kube.verbs.Verbs` only, so that
they run as well against a real API server.
"""
