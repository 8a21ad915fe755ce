"""What a channel is made of: buffers, the filter and timers, each of which knows only itself."""
