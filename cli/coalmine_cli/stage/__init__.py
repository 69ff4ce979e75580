"""The demo's stage: how the story of `coalmine demo` looks.

Two forms of one thing. In a terminal (`live`) the story is a page that grows in the scrollback, above a
few lines that are redrawn in place: the act, what just happened and why, the answers that the user of
the application gets, their shares, and the tree of `get rollout`. Anywhere else (`plain`) it is the
page alone, with a tree at each rest.

What is shown is made by pure functions of values: `teller` turns what the story tells into the
paragraphs of the `page`, `tally` counts answers, `frame` lays the redrawn lines out, `summary` closes.
Only `paint` knows control codes. Nothing here acts on the cluster.
"""
