"""The follower's side of one system: what change topics, dead letters and positions say is applied
to the cache, and barriers prove how fresh that is. `contract` is what the Gateway uses of it.
"""
