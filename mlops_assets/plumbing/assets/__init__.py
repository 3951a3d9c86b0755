"""The sources of the raw layer as they are declared, one module per table.

Put here what is one source's own: where the operator says that it is, what it names, when it is due. Keep out what all
sources of its kind do (``plumbing.sources``).
"""
