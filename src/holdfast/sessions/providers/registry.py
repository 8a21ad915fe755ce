"""Kinds of providers that can be added: the built-in ones, and those that installed packages offer."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from ...errors import HoldfastError, NotFound, UsageError
from .base import ENTRY_POINTS, Context, Factory, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping


def _built_in() -> dict[str, str]:
    """Kind → module and class; imported when one is made."""
    return {
        "file": "file:FileProvider",
        "synthetic": "synthetic:SyntheticProvider",
        "websocket": "websocket:WebSocketProvider",
    }


def kinds() -> list[str]:
    """The kinds there are, by name."""
    return sorted({*_built_in(), *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def make(kind: str, name: str, options: Mapping[str, str], context: Context) -> Provider:
    """A provider, not started.

    NotFound(kind="provider kind") naming those there are; UsageError naming the option that is wrong, or saying why an
    installed package's kind cannot be used.
    """
    place = _built_in().get(kind)
    factory = _ours(place) if place else _installed(kind)
    try:
        return factory(name, options, context)
    except HoldfastError:
        raise
    except Exception as error:
        raise UsageError(f"kind: a provider of kind {kind!r} cannot be made: {error}", field="kind") from error


def _ours(place: str) -> Factory:
    module, _, name = place.partition(":")
    factory: Factory = getattr(import_module(f"{__package__}.{module}"), name)
    return factory


def _installed(kind: str) -> Factory:
    for entry in entry_points(group=ENTRY_POINTS, name=kind):
        try:
            factory: Factory = entry.load()
        except Exception as error:
            raise UsageError(f"kind: {kind!r} from {entry.value} cannot be loaded: {error}", field="kind") from error
        return factory
    raise NotFound(f"no kind of provider {kind!r}; there are {', '.join(kinds()) or 'none'}", "provider kind", kind)
