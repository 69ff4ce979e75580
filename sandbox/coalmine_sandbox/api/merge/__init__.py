"""What a write makes of a stored object: the four kinds of patch, and who owns which field. Pure: new objects only."""

from coalmine_sandbox.api.merge.patches import json_patch, merge_patch
from coalmine_sandbox.api.merge.strategic_patch import strategic

__all__ = ["json_patch", "merge_patch", "strategic"]
