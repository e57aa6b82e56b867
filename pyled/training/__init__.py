"""Fine-tuning: a model's weights changed, step by step, until its summaries are more like those that people wrote.

To be read in this order: optimizer, schedules, examples, forecast, state, loop.
"""

from .optimizer import AdamW

__all__ = ["AdamW"]
