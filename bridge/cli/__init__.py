"""The command line, `bridgectl`."""


def main() -> None:
    """Run `bridgectl`."""
