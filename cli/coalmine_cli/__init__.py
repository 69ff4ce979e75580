"""The command line: one program, `coalmine`, also installed as `kubectl-coalmine`.

`__main__` hands over to a component, or to `program`, which knows the verbs: one file each. A
verb reads the cluster into values (`picture`, `coalmine.model.view`), `render` turns these
into lines, `terminal` shows them.
"""
