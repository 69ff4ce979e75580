"""The EndpointSlice controller (k8s.io/endpointslice): which pods stand behind a Service, and at which ports."""
