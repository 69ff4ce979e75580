"""The article's story, told on a lab and measured: two good releases, a bad one, and back.

`traffic` is the user of the application, `ledger` counts what that user got, `follow` watches the
Rollout, `tale` acts. It is what the demo shows and what the tests demand.
"""
