"""What is generated below manifests/: the kinds from the model, the Helm chart from the base."""
