"""What `lint` does: manifests read with their line numbers (`manifests`), checked by the code that runs in
the cluster (`deployments`, `templates`, `services`), and told (`findings`). Nothing here asks a cluster.
"""
