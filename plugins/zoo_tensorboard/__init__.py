"""A logger that writes event files for TensorBoard into the run folder."""

from __future__ import annotations

import zoo


@zoo.hookimpl
def zoo_loggers() -> list[zoo.LoggerSpec]:
    return [
        zoo.LoggerSpec(
            "tensorboard",
            "zoo_tensorboard.logger:TensorBoard",
            summary="Scalars, hyper-parameters and the embedding, for TensorBoard",
            description="Writes event files into the folder 'tensorboard' of the run: the loss of the steps, the "
            "learning rate, the losses and metrics of each evaluation, the config, and the embedding with its "
            "characters for the projector. It needs the package tensorboard: pip install 'zoo-models[tensorboard]'",
            references=("https://www.tensorflow.org/tensorboard",),
        )
    ]
