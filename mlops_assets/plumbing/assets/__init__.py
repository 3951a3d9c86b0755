"""Assets of the raw layer, one module per table: thin wiring of a connector to its contract.

Put here a published asset and its metadata. Keep out how a source is read.
"""
