"""Readable failures from the contract suite, which lives in the package."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("holdfast.engine.contract")
