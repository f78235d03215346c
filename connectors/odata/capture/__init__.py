"""Changes and snapshots of entity sets."""
