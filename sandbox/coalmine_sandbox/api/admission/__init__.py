"""What stands between a write and the store: webhooks, and the few built-in plugins that the sandbox has."""
