"""How much memory a participant holds: all that can be reached from it."""

from __future__ import annotations

import gc
import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

_NOT_HELD = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)


def held_bytes(root: object, *besides: object) -> int:
    """Of all objects that ``root`` leads to, each once; without code, ``besides``, and what only ``besides`` lead to.

    Costs their number.
    """
    seen = {id(one) for one in besides}
    total, todo = 0, [root]
    while todo:
        fresh = []
        for one in todo:
            if id(one) not in seen and not isinstance(one, _NOT_HELD):
                seen.add(id(one))
                total += sys.getsizeof(one)
                fresh.append(one)
                if isinstance(one, dict):
                    fresh.append(list(one))  # the collector looks at no keys that are text
        todo = gc.get_referents(*fresh) if fresh else []
    return total
