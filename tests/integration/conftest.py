"""The fixtures of the road of a command, for this folder."""

from services.pipeline_fixtures import empty_house, house, sandbox_origin

__all__ = ["empty_house", "house", "sandbox_origin"]
