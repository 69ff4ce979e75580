"""A soak: real sidecars under load while everything around them changes, and a judge who knows the rules.

``python -m tests.soak --seconds 600`` from the root of the checkout. Needs neither root nor Go; listens on
addresses of 127.0.0.0/8 only.
"""
