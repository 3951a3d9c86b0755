"""The example of the page on combining: it publishes what it says, as it is written."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import mlops_assets as ma
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    import dagster as dg
    import pytest

FILES = {
    "api": "territory,amount\nA,10\nB,\n",
    "files": "territory,amount\nA,11\nB,8\nC,4\n",
    "crosswalk": "territory,region,share\nA,N,1\nB,N,0.25\nB,S,0.75\nC,S,1\n",
}


def test_the_example_publishes_what_was_sold_in_each_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(str(ma.__file__)).parents[1] / "docs" / "sources.md"
    section = page.read_text(encoding="utf-8").partition("## Combining\n")[2]
    [code, *_] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "exports").mkdir()
    for name, text in FILES.items():
        (tmp_path / "exports" / f"{name}.csv").write_text(text, encoding="utf-8")
    (tmp_path / "combining_of_the_page.py").write_text(code, encoding="utf-8")
    defs: dg.Definitions = importlib.import_module("combining_of_the_page").defs
    done = defs.resolve_implicit_global_asset_job_def().execute_in_process(raise_on_error=False)
    assert done.success
    regions = next(each for each in defs.resolve_asset_graph().assets_defs if each.key.path[-1] == "regions")
    contract = next(iter(regions.specs)).metadata["mlops_assets/contract"].instance
    with LakeSession(Settings.load()) as session:
        assert sorted(session.rows(current_table(session, contract))) == [("N", 12.0), ("S", 10.0)]
