"""Comparisons by declaration: what changed in any team's table, and what it was.

Put here what makes `Compare` tables, checks and pages of the methods of `mlops_assets.variance`. Keep out the methods
themselves, and columns and words of any domain.
"""
