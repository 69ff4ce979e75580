"""Analysis: metrics measured at intervals, judged by conditions, bounded by limits.

Everything that decides is pure: templates and arguments are read into values that cannot be
invalid, conditions are parsed and evaluated, limits and times follow from the run's state.
Only `runner` and `providers` do I/O. The behaviour is Argo Rollouts', as read off its code.
"""
