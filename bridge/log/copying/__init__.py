"""The parts of `bridge.log.copy`: what to copy in which order, new schema ids, how far it came."""
