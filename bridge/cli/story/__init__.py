"""The demo's story: its stage, its actors, what is watched, and the verdict."""
