"""Files in folders and object stores: where they lie, when they are whole, and the kinds that take them.

Put here what holds for files alone. Keep out what is in them (``formats``) and files over HTTP (``http.file``).
"""
