"""The ways out of a channel: pages for who asks, a feed for who subscribes."""
