"""The certificate the node makes for itself."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from holdfast.security.certificates import RENEW_DAYS, VALID_DAYS, self_signed

NOW = 1_700_000_000.0
DAY_S = 86_400.0


def test_it_is_kept_while_it_is_good(tmp_path: Path) -> None:
    directory = str(tmp_path / "tls")
    made = self_signed(directory, ["127.0.0.1", "node.example"], NOW)
    assert self_signed(directory, ["node.example"], NOW + 10 * DAY_S) == made
    assert made.fingerprint.count(":") == 31
    pem = Path(made.cert_file).read_text()
    der = ssl.PEM_cert_to_DER_cert(pem)
    assert len(der) < 2000


def test_it_is_made_anew_for_other_hosts_near_its_end_and_when_it_is_broken(tmp_path: Path) -> None:
    directory = str(tmp_path / "tls")
    first = self_signed(directory, ["127.0.0.1"], NOW)
    second = self_signed(directory, ["127.0.0.1", "::1"], NOW)
    third = self_signed(directory, ["::1"], NOW + (VALID_DAYS - RENEW_DAYS + 1) * DAY_S)
    Path(third.cert_file).write_text("broken")
    fourth = self_signed(directory, ["::1"], NOW)
    assert len({first.fingerprint, second.fingerprint, third.fingerprint, fourth.fingerprint}) == 4


def test_its_key_is_the_owners_alone(tmp_path: Path) -> None:
    made = self_signed(str(tmp_path / "tls"), ["127.0.0.1"], NOW)
    assert stat.S_IMODE(Path(made.key_file).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
