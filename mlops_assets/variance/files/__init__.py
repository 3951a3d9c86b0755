"""Anybody's files: delimited text or Parquet, read as it was delivered, by one rule for every side of a comparison.

Put here what a file may be, and what its texts, numbers and times mean. Keep out what is compared.
"""
