"""How fresh the gateway's answers are: barriers prove it, doubts take it back, and a read's bound is
compared with it. Pure: callers hand in the clock and do what is decided here.

ask -> BarrierTracker.begin -> (written to the source, captured) -> read_checkpoint
    -> (high watermarks taken) -> set_high_watermarks -> (the follower reads on) -> reach -> claim
"""
