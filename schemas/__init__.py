"""The wire contracts: what other programs read and write. This package imports nothing of ours."""
