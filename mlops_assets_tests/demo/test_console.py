"""What a demonstration shows while it runs, where nobody sees bars move."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from mlops_assets.demo.console import Bars, progress_bars


def test_a_log_tells_what_is_under_way_before_it_is_done() -> None:
    written = StringIO()
    with progress_bars(Console(file=written)) as progress:
        bars = Bars(progress)
        bars("voter files", 0, 34)
        bars("voter files", 1, 34)
        assert written.getvalue() == "voter files: 0 of 34\n"
