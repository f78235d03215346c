"""What capture reports of a source: its status record and the commands that its changes confirm."""
