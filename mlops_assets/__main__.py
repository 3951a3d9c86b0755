"""``python -m mlops_assets``: the command ``mlops-assets``. Put nothing else here."""

from mlops_assets.cli import main

if __name__ == "__main__":
    main()
