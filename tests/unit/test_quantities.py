from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.quantities import format_size, parse_duration, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1500", 1500), ("64KiB", 65536), ("100MiB", 104857600), ("1GB", 10**9), ("1.5k", 1500), ("7 b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "rate"), [("100MBps", 1e8), ("100MB/s", 1e8), ("5MiB/s", 5 * 1024**2), ("65536", 65536.0)]
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("10ms", 0.01), ("1.5", 1.5), ("2m", 120.0), ("5us", 5e-6)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "1 parsec", "KiB", "inf", "nan", "1e999"])
def test_nonsense_names_the_field(text: str) -> None:
    for parse in (parse_size, parse_rate, parse_duration):
        with pytest.raises(UsageError, match=r"^the-field: ") as caught:
            parse(text, "the-field")
        assert caught.value.field == "the-field"


def test_sizes_for_people() -> None:
    assert [format_size(size) for size in (5, 65536, 3 * 1024**2, 2.5 * 1024**3)] == [
        "5 B",
        "64 KiB",
        "3 MiB",
        "2.5 GiB",
    ]
