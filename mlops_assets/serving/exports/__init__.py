"""What answers are made from: the signed export in use, past ones, their tables and models.

Put here how exports are followed, believed and read. Keep out HTTP routes, and who may see what.
"""
