"""Latin-1 text becomes UTF-8 with LF line ends, wherever it is cut."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_assets.plumbing.connectors.large_text import latin1_to_utf8

PIECES = st.sampled_from([b"A", b"\t", b"\n", b"\r", b"\r\n", b"\xe9", b"\xd1", b"\xc3\xb1", b"\xc3"])


def is_utf8(group: bytes) -> bool:
    """Whether a group of bytes is well-formed UTF-8."""
    try:
        group.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(blocks=st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=6))
def test_however_it_is_cut_each_crlf_becomes_lf_and_each_character_its_utf8(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    groups = re.findall(rb"[\x80-\xff]+", whole)
    as_utf8 = sum(is_utf8(group) for group in groups)
    # Text that is UTF-8 for the most part is refused.
    assume(not as_utf8 or 2 * as_utf8 < len(groups))
    with TemporaryDirectory() as folder:
        target = Path(folder) / "text"
        latin1_to_utf8(iter(blocks), target, "the text")
        assert target.read_bytes() == whole.replace(b"\r\n", b"\n").decode("latin-1").encode()
