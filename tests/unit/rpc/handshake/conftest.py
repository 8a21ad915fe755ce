"""Two ends that prove who they are to each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from holdfast.rpc.handshake.greeting import Authenticator

Prove = Callable[[Authenticator, Authenticator], None]


@pytest.fixture
def prove() -> Prove:
    """Pass bodies back and forth until nobody has more to say."""

    def exchange(dialing: Authenticator, accepting: Authenticator) -> None:
        said = dialing.first()
        assert accepting.first() is None
        while said is not None:
            answer = accepting.receive(said)
            said = None if answer is None else dialing.receive(answer)

    return exchange
