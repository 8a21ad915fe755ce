"""A real node in its own directories, driven by the real command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.testing import NodeBox


@pytest.fixture
def box() -> Iterator[NodeBox]:
    with NodeBox.temporary() as made:
        yield made


@pytest.fixture
def node_box(box: NodeBox) -> NodeBox:
    """A box whose node runs."""
    box.start_node()
    return box
