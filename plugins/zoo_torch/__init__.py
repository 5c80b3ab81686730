"""Optimizers of torch.optim with typed settings, each in torch's fastest implementation."""

from __future__ import annotations

import zoo

_ADAM = "Kingma, Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, https://arxiv.org/abs/1412.6980"
_ADAMW = "Loshchilov, Hutter, Decoupled Weight Decay Regularization, ICLR 2019, https://arxiv.org/abs/1711.05101"
_NADAM = "Dozat, Incorporating Nesterov Momentum into Adam, ICLR 2016 workshop"
_RADAM = (
    "Liu, Jiang, He, Chen, Liu, Gao, Han, On the Variance of the Adaptive Learning Rate and Beyond, ICLR 2020, "
    "https://arxiv.org/abs/1908.03265"
)
_RMSPROP = "Tieleman, Hinton, Lecture 6.5: RMSProp, Coursera: Neural Networks for Machine Learning, 2012"
_ADAGRAD = (
    "Duchi, Hazan, Singer, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization, "
    "JMLR 12 (2011) 2121-2159"
)
_MOMENTUM = "Sutskever, Martens, Dahl, Hinton, On the importance of initialization and momentum, ICML 2013"
_MUON = (
    "Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein, Muon: An optimizer for hidden layers in neural networks "
    "(2024), https://kellerjordan.github.io/posts/muon/"
)
_MOONLIGHT = "Liu and others, Muon is Scalable for LLM Training (2025), https://arxiv.org/abs/2502.16982"


@zoo.hookimpl
def zoo_optimizers() -> list[zoo.OptimizerSpec]:
    return [*_adams(), *_others()]


def _adams() -> list[zoo.OptimizerSpec]:
    return [
        zoo.OptimizerSpec(
            "adamw",
            "zoo_torch.optimizers:adamw",
            summary="Adam with decoupled weight decay",
            lr=1e-3,
            references=(_ADAMW, _ADAM),
            elementwise=True,
        ),
        zoo.OptimizerSpec(
            "adam",
            "zoo_torch.optimizers:adam",
            summary="Adam; weight decay is an L2 penalty, added to the gradient",
            lr=1e-3,
            references=(_ADAM,),
            elementwise=True,
        ),
        zoo.OptimizerSpec(
            "nadam",
            "zoo_torch.optimizers:nadam",
            summary="Adam with Nesterov momentum",
            lr=2e-3,
            references=(_NADAM,),
            elementwise=True,
        ),
        zoo.OptimizerSpec(
            "radam",
            "zoo_torch.optimizers:radam",
            summary="Rectified Adam, which needs no warm-up",
            lr=1e-3,
            references=(_RADAM,),
            elementwise=True,
        ),
    ]


def _others() -> list[zoo.OptimizerSpec]:
    return [
        zoo.OptimizerSpec(
            "rmsprop",
            "zoo_torch.optimizers:rmsprop",
            summary="Per-parameter rates from a running mean of squared gradients",
            lr=1e-3,
            references=(_RMSPROP,),
            elementwise=True,
        ),
        zoo.OptimizerSpec(
            "adagrad",
            "zoo_torch.optimizers:adagrad",
            summary="Per-parameter rates from accumulated squared gradients",
            lr=0.01,
            references=(_ADAGRAD,),
            elementwise=True,
        ),
        zoo.OptimizerSpec(
            "sgd-momentum",
            "zoo_torch.optimizers:sgd_momentum",
            summary="SGD with momentum (also Nesterov) and weight decay",
            lr=0.01,
            references=(_MOMENTUM,),
            elementwise=True,
        ),
        zoo.OptimizerSpec(
            "muon",
            "zoo_torch.muon:Muon",
            summary="Orthogonalized momentum of hidden matrices, else AdamW",
            lr=1e-3,
            description=(
                "Muon updates all matrices except the first and the last, which in a text model are the embedding "
                "table and the output layer. AdamW updates these two and all other parameters. Muon's updates are "
                "scaled to the RMS of AdamW's, so that both use the same learning rate. Needs torch 2.9."
            ),
            references=(_MUON, _MOONLIGHT),
        ),
    ]
