"""The node's side of a birth where no keeper is there to answer."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import CommandNotFound, InternalError, StorageError
from holdfast.jobs.birth import Midwife
from holdfast.jobs.keeper.certificate import Certificate
from holdfast.jobs.keeper.records import BirthReceipt, write_birth

if TYPE_CHECKING:
    from tests.conftest import Run


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate("j", bytes(32), ["true"], str(tmp_path / "run"), str(tmp_path / "spill"), retention_s=0.0)


RECEIPT = BirthReceipt(1, 2.0, 3, 4.0, 5.0)


def test_a_torn_line_and_no_note_mean_nothing_was_started(certificate: Certificate) -> None:
    os.mkdir(certificate.runtime_dir)
    assert Midwife()._understand(b"", certificate) is None
    assert not os.path.exists(certificate.runtime_dir)


def test_a_torn_line_and_a_note_mean_it_was_born(certificate: Certificate) -> None:
    os.mkdir(certificate.runtime_dir)
    write_birth(certificate.runtime_dir, "j", RECEIPT)
    assert Midwife()._understand(b"", certificate) == RECEIPT


def test_an_error_keeps_its_kind(certificate: Certificate) -> None:
    line = b'{"ok":false,"error":{"code":"command_not_found","message":"m","details":{"command":"x"}}}'
    with pytest.raises(CommandNotFound) as caught:
        Midwife()._understand(line, certificate)
    assert caught.value.command == "x"


def test_a_python_that_cannot_be_started_is_a_storage_error(
    certificate: Certificate, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async def story() -> None:
        midwife = Midwife()
        await midwife.start()
        with pytest.raises(StorageError):
            await midwife.birth(certificate)
        await midwife.stop()

    run(story())


def test_a_python_that_is_not_one_gives_up_in_words(
    certificate: Certificate, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")

    async def story() -> None:
        midwife = Midwife()
        await midwife.start()
        with pytest.raises(InternalError):
            await midwife.birth(certificate)
        await midwife.stop()
        await midwife.stop()

    run(story())


def test_a_cancelled_birth_leaves_no_descriptor_here(certificate: Certificate, run: Run) -> None:
    async def story() -> None:
        midwife = Midwife()
        await midwife.start()
        task = asyncio.ensure_future(midwife.birth(certificate))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await midwife.stop()

    run(story())
