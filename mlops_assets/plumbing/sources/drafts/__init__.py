"""Drafts: a contract and a source as a file suggests them.

Put here what is guessed and how it is written. Keep out the rules that sources keep.
"""
