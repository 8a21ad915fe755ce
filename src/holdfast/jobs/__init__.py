"""Jobs: commands that outlive the connections that watch them."""
