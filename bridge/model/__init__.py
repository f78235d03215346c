"""The words of the bridge as values: pure, no I/O, no asyncio."""
