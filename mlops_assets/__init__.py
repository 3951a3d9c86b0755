"""mlops_assets: raw extracts to served predictions, as audited and versioned Dagster assets.

Holds the version of the package and nothing else. Import what you need from the module that defines it.
"""

__version__ = "0.1.0"
