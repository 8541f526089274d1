"""Measurements from elsewhere, each by a process of its own that sends them to the service as any program would.

What a source is asked for is one method (:class:`.Adapter`); everything else, sending, trying again and telling what
was refused, is :func:`.deliver`, the same for all.
"""

from learnopt.service.adapters.delivery import Adapter, Batch, SourceLostError, deliver

__all__ = ["Adapter", "Batch", "SourceLostError", "deliver"]
