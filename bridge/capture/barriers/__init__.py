"""Barriers on capture's side: requests coalesced into watermarks, and the record by which readers see
that one came back.

request -> BarrierSchedule.ask -> begin -> `Source.write_watermark` -> (the stream)
    -> BarrierSchedule.pass_watermark -> BarrierRecord, in `_positions` at once
"""
