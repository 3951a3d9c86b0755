"""The seams between the pipelines: schemas, partitions and code mappings of the voter domain, one module per layer.

Put here what one pipeline promises another. Keep out how it is made.
"""
