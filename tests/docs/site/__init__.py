"""The documentation site: its pages are laid out here, and made into HTML by `make docs`."""
