"""The audit of answers: a share of what a copy answered is compared with the legacy system."""
