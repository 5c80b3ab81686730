"""zoo's built-in plugin: the names dataset, the character MLP and the SGD update of the lecture "makemore part 2"."""

from __future__ import annotations

import zoo

_LECTURE = "Andrej Karpathy, Building makemore Part 2: MLP (2022), https://www.youtube.com/watch?v=TCH_1BHY58I"
_BENGIO = "Bengio, Ducharme, Vincent, Jauvin, A Neural Probabilistic Language Model, JMLR 3 (2003) 1137-1155"

_TENTH_FROM_100_000 = zoo.Schedule(milestones=(100_000,), gamma=0.1)


def _scaled(summary: str, steps: int, lr: float, engine: str = "auto") -> zoo.Preset:
    """The lecture's net and batches, with the initialization of its part 3 and a cosine schedule."""
    return zoo.Preset(
        summary,
        engine=engine,
        steps=steps,
        lr=lr,
        schedule=zoo.Schedule(cosine=True),
        settings={"model.scaled_init": True, "data.shuffle_seed": 42},
    )


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [
        zoo.ModelSpec(
            "mlp-char",
            "zoo_lecture.mlp_char:MLPChar",
            summary="Character MLP: one layer of tanh units (makemore part 2)",
            dataset="names",
            optimizer="sgd",
            steps=5000,
            batch_size=32,
            lr=0.1,
            schedule=_TENTH_FROM_100_000,
            embedding="C",
            width="hidden_size",
            presets={
                "notebook": zoo.Preset("5,000 steps, names in file order"),
                "lecture": zoo.Preset(
                    "200,000 steps, names shuffled: validation loss 2.168",
                    steps=200_000,
                    settings={"data.shuffle_seed": 42},
                ),
                "tuned": _scaled(
                    "the same net, Kaiming-scaled initialization, 560,000 steps: validation loss 2.09", 560_000, 0.15
                ),
                "speedrun": _scaled(  # too few steps for auto to choose fused, which compiles once on a machine
                    "the same net to a validation loss of 2.17, in half a second on a CPU with numba",
                    16_000,
                    0.25,
                    "fused",
                ),
            },
            engines={"fused": "zoo_lecture.fused:fused", "manual": "zoo_lecture.manual:Manual"},
            populations={"fused": "zoo_lecture.fused:population"},
            description=(
                "Three characters of context, each embedded in 10 dimensions by the table C, 200 tanh units, and a "
                "softmax over the characters, trained by minibatch SGD. Initial weights and batches are bit-identical "
                "to the lecture's."
            ),
            references=(_LECTURE, _BENGIO),
            weights="zoo_lecture:weights/mlp-char.safetensors",
        )
    ]


@zoo.hookimpl
def zoo_datasets() -> list[zoo.DatasetSpec]:
    return [
        zoo.DatasetSpec(
            "names",
            "zoo_lecture.names:names",
            summary="32,033 first names of the makemore repository (downloaded)",
            fallback="names-ssa-2018",
            references=("https://github.com/karpathy/makemore",),
        ),
        zoo.DatasetSpec(
            "names-ssa-2018",
            "zoo_lecture.names:names_ssa_2018",
            summary="32,257 first names of U.S. births in 2018 (bundled, public domain)",
            references=(
                "U.S. Social Security Administration, national baby names, https://www.ssa.gov/oact/babynames/",
            ),
        ),
    ]


@zoo.hookimpl
def zoo_optimizers() -> list[zoo.OptimizerSpec]:
    return [
        zoo.OptimizerSpec(
            "sgd",
            "zoo_lecture.sgd:SGD",
            summary="The lecture's SGD update: p.data += -lr * p.grad",
            lr=0.1,
            elementwise=True,
        )
    ]
