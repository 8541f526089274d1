r"""How unlike the training feeders a feeder is: a stated risk holds for feeders like those of the calibration only.

A feeder is described by mean and standard deviation of every feature over its nodes and branches, and by its size. The
distance is Mahalanobis' from the training feeders,

.. math:: d = \sqrt{(x - \mu)^T \Sigma^{-1} (x - \mu)},

and the *novelty* is d over the distance that one in a hundred calibration feeders exceeds: above 1 a feeder is unusual.

References
----------
Lee, Lee, Lee & Shin (2018), arXiv:1807.03888 (Mahalanobis distance as a test for inputs unlike the training data).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learnopt.learning.features import FEATURE_SCHEMA, FeederData

UNUSUAL_SHARE = 0.01
"""Share of the calibration feeders that are beyond novelty 1."""
_RIDGE = 1e-2
"""Added to the correlation matrix: features that hardly vary in training count, but not without measure."""


class Novelty(nn.Module):
    """Distance from the training feeders; stored with the weights."""

    mean: Tensor
    scale: Tensor
    whitening: Tensor
    limit: Tensor

    def __init__(self) -> None:
        super().__init__()
        size = 2 * (len(FEATURE_SCHEMA.node) + len(FEATURE_SCHEMA.branch)) + 2
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("whitening", torch.eye(size))
        self.register_buffer("limit", torch.tensor(torch.inf))

    def fit(self, descriptions: Tensor) -> None:
        """Learn the spread of the training feeders from :func:`describe` of each, shape (n_feeder, n)."""
        rows = descriptions.double()
        mean, scale = rows.mean(0), rows.std(0, correction=0).clamp(min=1e-6)
        rows = (rows - mean) / scale
        spread = rows.T @ rows / len(rows) + _RIDGE * torch.eye(rows.shape[1], dtype=torch.float64)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.whitening.copy_(torch.linalg.inv(torch.linalg.cholesky(spread)))

    def calibrate(self, feeders: Sequence[FeederData]) -> None:
        """Set novelty 1 where one in a hundred of further feeders lies beyond; a constant if there are none."""
        if feeders:
            distance = torch.stack([self.distance(feeder) for feeder in feeders])
            self.limit.copy_(torch.quantile(distance, 1.0 - UNUSUAL_SHARE))

    def distance(self, feeder: FeederData) -> Tensor:
        """Distance d of one feeder."""
        return torch.linalg.vector_norm(self.whitening @ ((describe(feeder) - self.mean) / self.scale))

    def forward(self, feeder: FeederData) -> float:
        """Novelty of one feeder, at least 0; 0 where nothing was calibrated or nothing is to be decided."""
        return float(self.distance(feeder) / self.limit) if feeder.edge_index.shape[1] else 0.0


def describe(feeder: FeederData) -> Tensor:
    """Description of a feeder with a decision, shape (n,)."""
    columns = [feeder.x, feeder.edge_attr]
    branches = feeder.edge_index.shape[1]
    size = torch.tensor([1.0 + branches, 2.0 + branches - len(feeder.x)]).log2()
    return torch.cat([*(c.mean(0) for c in columns), *(c.std(0, correction=0) for c in columns), size])
