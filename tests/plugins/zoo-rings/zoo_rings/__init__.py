"""A plugin for zoo: images of rings, and a variational autoencoder that draws new ones."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "ring-vae",
            "zoo_rings.vae:VAE",
            summary="Variational autoencoder with one hidden layer on each side",
            dataset="rings",
            optimizer="adamw",
            steps=600,
            batch_size=64,
            lr=0.003,
            loss="zoo_rings.vae:elbo",
            metrics={"kl": "zoo_rings.vae:kl"},
            generate="zoo_rings.vae:draw",
            references=("Kingma, Welling, Auto-Encoding Variational Bayes, ICLR 2014",),
        )
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [zoo.DatasetSpec("rings", "zoo_rings.rings:rings", summary="12×12 images of a ring, without targets")]
