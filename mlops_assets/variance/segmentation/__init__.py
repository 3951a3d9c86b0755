"""Segmentation: by which classes cases are best told apart.

Put here cells of cases over time and the choice between them. Keep out changes of single cells.
"""
