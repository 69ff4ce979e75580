"""What `uninstall` does.

`standing` (pure) says how each Deployment stands and which patch lets go of it, `plan` (pure) what will be done,
`rollouts` ends those that are open, `letting_go` gives each Deployment back to the native controller, `removal`
deletes the installation. All of it is level-based: whatever it was cut off at, the next call goes on.
"""
