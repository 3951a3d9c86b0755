"""Assets of the wrangling location: one module per published table, named like it.

Put here which contract an asset keeps, what it reads and when it runs. Keep out the transforms (one folder up).
"""
