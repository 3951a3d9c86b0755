"""Reports: pages and charts of what was found.

Put here what people look at. Keep out finding it.
"""
