"""What objects look like: of built-in kinds as a real API server describes them, of others as their CRD does."""
