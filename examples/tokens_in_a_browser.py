"""The answer of ``token_stream.py`` in a browser: a page of plain HTML shows it as it comes.

Start a node that serves the page, then this::

    holdfast serve --background --http 127.0.0.1:4437 --http-root examples/browser
    python examples/tokens_in_a_browser.py

Open the link it prints.  Reload the page, stop and start the node meanwhile: every token is there, once, in order.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import quote

import holdfast

AGENT = Path(__file__).with_name("token_stream.py")
PACE_S = "0.15"


async def main(pace_s: str) -> None:
    """Start the agent, and let one browser watch it."""
    async with holdfast.connect(autostart=False) as node:
        job = await node.jobs.start([sys.executable, str(AGENT), "agent", pace_s], channels=["tokens"])
        tokens = job.channel("tokens").id
        rights = await node.tokens.mint("browser", ["channels:read"], channel=tokens, role="reader")
        link = await node.tokens.link(rights.info.id, to=f"/?channel={quote(tokens, safe='/')}")
        print(f"open in a browser, once, within five minutes:\n{link.url}", flush=True)
        info = await job.wait()
        print(f"the agent has ended with {info.exit_code}; its tokens are kept in channel {tokens}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else PACE_S))
