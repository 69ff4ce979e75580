"""What `check` does: a cluster is read once (`reading`) into a `Sight`, pure functions make findings of it.

A module a subject: `server`, `rights`, `webhook`, `controller`, `deployments`, `services`, `autoscaling`, `network`,
`mesh`, `security`, `room`, `leftovers`. `findings` says what a finding is, `report` puts all together. Nothing here
writes.
"""
