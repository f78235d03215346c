"""The real servers that tests and benchmarks run against.

`provide` finds each of them: an address in the environment, a container where a Docker engine
answers, or a local program that `python -m tests.services.install` installed once. The objects
are plain context managers, so that benchmarks use them without pytest.
"""
