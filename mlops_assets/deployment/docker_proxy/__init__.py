"""The policy proxy: what the deployment may ask of the Docker engine, and nothing else.

Put here rules about the engine's HTTP interface and the server that applies them. Keep out the launching of runs.

Whoever may talk to the engine's own socket is root on the machine. Dagster needs a small part of that power: making run
containers of this project's image, starting, watching and removing them. The proxy grants that part; everything it does
not know is refused.
"""
