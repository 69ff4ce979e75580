"""What is particular to a kind: what a write may not set, what it must hold to, what it may not change. Pure.

Named after apiserver's rest strategies, whose order it keeps: prepare, then validate.
"""
