"""The parts of `bridge.log.copy`: the order of copying, new schema ids, the progress."""
