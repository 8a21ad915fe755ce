from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import UsageError
from holdfast.sync.keys import key_text, new_key, parse_key, read_key

KEY = bytes(range(32))
TEXT = "hfg1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def test_a_key_is_one_word() -> None:
    assert key_text(KEY) == TEXT
    assert parse_key(f" {TEXT}\n") == KEY
    assert parse_key(key_text(made := new_key())) == made != new_key()


@pytest.mark.parametrize("text", ["", "hfg1_", TEXT[:-1], TEXT + "A", TEXT[5:], "hfg2_" + TEXT[5:], "hfg1_" + "ü" * 43])
def test_what_is_none_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(UsageError, match="key: not one of a group") as caught:
        parse_key(text)
    assert not text or text not in str(caught.value).replace("with hfg1_", "")


def test_a_file_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "ops.key"
    with pytest.raises(UsageError, match="No such file"):
        read_key(str(path))
    path.write_text(TEXT + "\n")
    path.chmod(0o640)
    with pytest.raises(UsageError, match=r"others may read .* 0640"):
        read_key(str(path))
    path.chmod(0o600)
    assert read_key(str(path)) == KEY
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no key"):
        read_key(str(path))
