"""A variational autoencoder: its net, its loss, a metric, and new images from it.

Axes: B images, S pixels on each side, H hidden units, Z dimensions of the latent space.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


class Output(NamedTuple):
    """The logits of the pixels (B, S * S), and the mean and the log of the variance of the code (B, Z)."""

    logits: Tensor
    mean: Tensor
    log_variance: Tensor


class VAE(nn.Module):
    """An encoder and a decoder. In training the code is sampled; in evaluation it is the mean."""

    def __init__(self, num_features: int, hidden_size: int = 64, latent_size: int = 4) -> None:
        super().__init__()
        self.latent_size, self.side = latent_size, round(num_features**0.5)
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(num_features, hidden_size), nn.ReLU(), nn.Linear(hidden_size, 2 * latent_size)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, num_features)
        )

    def forward(self, x: Tensor) -> Output:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return Output(self.decoder(mean + noise * (log_variance / 2).exp()), mean, log_variance)


def elbo(output: Output, target: Tensor, *, beta: float = 1.0) -> Tensor:
    """The negative evidence lower bound of each image in nats, shape (B,).

    Args:
        output: of the model.
        target: the images themselves, shape (B, S, S).
        beta: weight of the divergence; from Higgins et al., beta-VAE, ICLR 2017.
    """
    pixels = binary_cross_entropy_with_logits(output.logits, target.flatten(1), reduction="none").sum(1)
    return pixels + beta * kl(output, target)


elbo.unit = "nats"  # type: ignore[attr-defined]


def kl(output: Output, target: Tensor) -> Tensor:
    """The divergence of the code from a standard normal in nats, shape (B,)."""
    return 0.5 * (output.mean.square() + output.log_variance.exp() - 1 - output.log_variance).sum(1)


def draw(model: VAE, n: int, generator: torch.Generator, *, spread: float = 1.0) -> Tensor:
    """New images, shape (n, S, S), from codes of that standard deviation."""
    codes = spread * torch.randn(n, model.latent_size, generator=generator)
    pixels: Tensor = model.decoder(codes).sigmoid()  # (n, S * S)
    return pixels.reshape(n, model.side, model.side)
