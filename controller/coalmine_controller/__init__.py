"""The controller: brings a held template up as a canary, step by step, and promotes or aborts it.

`observe` reads the world into `observed`, the pure `plan` decides, `apply` performs what it
returns, `loop` repeats that for each Deployment by name.
"""
