"""The models of Andrej Karpathy's makemore and of its lectures, from bigrams to a transformer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import zoo

_MAKEMORE = "Andrej Karpathy, makemore, https://github.com/karpathy/makemore"
_LECTURE = "Andrej Karpathy, Building makemore Part {}, https://www.youtube.com/watch?v={}"
_BATCH_NORM = "Ioffe, Szegedy, Batch Normalization, ICML 2015, https://arxiv.org/abs/1502.03167"

_ADAMW = {"optimizer.betas": (0.9, 0.99), "optimizer.weight_decay": 0.01}
_STEPS = 20_000
_RENAMED = {"model.n_net": "model.ensemble_size"}
_LSTM: dict[str, object] = {"model.n_embd": 48, "model.n_embd2": 256, "model.dropout": 0.3}


def _weights(name: str) -> str:
    """The weights that `scripts/weights/make_weights.py` trains with the preset `tuned` on the bundled names."""
    return f"zoo_makemore:weights/{name}.safetensors"


def _makemore(
    name: str,
    factory: str,
    summary: str,
    tuned: zoo.Preset,
    *references: str,
    others: Mapping[str, zoo.Preset] = MappingProxyType({}),
    **more: Any,
) -> zoo.ModelSpec:
    """A model with makemore's own training: AdamW, batches of 32 words."""
    presets = {
        "makemore": zoo.Preset("makemore's optimizer, 20,000 steps", optimizer="adamw", settings=_ADAMW),
        "tuned": tuned,
        **others,
    }
    return zoo.ModelSpec(
        name,
        f"zoo_makemore.{factory}",
        summary=summary,
        dataset="names",
        optimizer="adamw",
        steps=_STEPS,
        batch_size=32,
        lr=5e-4,
        presets=presets,
        references=(_MAKEMORE, *references),
        weights=_weights(name),
        **more,
    )


def _lecture(
    name: str, factory: str, summary: str, fall: int, tuned: zoo.Preset, *references: str, **more: Any
) -> zoo.ModelSpec:
    """A model with the training of the lectures: plain SGD, with the learning rate divided by 10 after `fall` steps."""
    return zoo.ModelSpec(
        name,
        f"zoo_makemore.{factory}",
        summary=summary,
        dataset="names",
        optimizer="sgd",
        steps=_STEPS,
        batch_size=32,
        lr=0.1,
        schedule=zoo.Schedule(milestones=(fall // 10,)),
        presets={
            "makemore": zoo.Preset("as in the lecture, but 20,000 steps"),
            "lecture": zoo.Preset(
                "as in the lecture: 200,000 steps, names shuffled",
                steps=10 * _STEPS,
                schedule=zoo.Schedule(milestones=(fall,)),
                settings={"data.shuffle_seed": 42},
            ),
            "tuned": tuned,
        },
        references=references,
        weights=_weights(name),
        **more,
    )


def _tuned(
    steps: int, batch_size: int, lr: float, settings: dict[str, object], synthetic: float | None = None, net: str = ""
) -> zoo.Preset:
    """The best settings found for AdamW with a cosine schedule on the lecture's shuffled names.

    `synthetic` is the share of synthetic words, sampled from the counts of `ngram`.
    """
    return zoo.Preset(
        f"ours: {net}AdamW, {steps:,} steps of {batch_size}, names shuffled"
        + (", synthetic words of ngram" if synthetic else ""),
        optimizer="adamw",
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        schedule=zoo.Schedule(cosine=True, warmup=500),
        synthetic="ngram" if synthetic else None,
        synthetic_share=synthetic,
        settings={**_ADAMW, "data.shuffle_seed": 42, **settings},
    )


def _lstm_ensemble() -> zoo.Preset:
    settings = {**_LSTM, "model.ensemble_size": 4}
    return _tuned(8_000, 256, 4e-3, settings, synthetic=0.25, net="an ensemble of four nets, ")


def _running_text(summary: str, steps: int, batch_size: int, block: int) -> zoo.Preset:
    """The transformer on running text, the last tenth of which validates; the file is the user's.

    A processor without products in bfloat16 computes in float32, to the same losses in 1.6 times the time.
    """
    return zoo.Preset(
        f"running text: {summary}, {steps:,} steps of {batch_size} blocks of {block} characters",
        optimizer="adamw",
        steps=steps,
        batch_size=batch_size,
        lr=3e-3,
        clip_norm=1.0,
        precision="bfloat16",
        schedule=zoo.Schedule(cosine=True, warmup=100),
        settings={
            "model.n_embd": 128,
            "model.max_length": block,
            "model.bias": False,
            "model.rotary": True,
            "optimizer.betas": (0.9, 0.99),
            "optimizer.weight_decay": 0.1,
            "data.format": "text",
            "data.split": (0.9, 1.0),
        },
    )


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [_ngram(), *_feed_forward(), *_with_batch_norm(), *_sequence_models()]


def _ngram() -> zoo.ModelSpec:
    """The model that is fitted, and not trained: its one step does nothing."""
    return zoo.ModelSpec(
        "ngram",
        "zoo_makemore.ngram:NGram",
        summary="Counts of all contexts up to 5 characters, interpolated",
        dataset="names",
        optimizer="sgd",
        steps=1,
        batch_size=32,
        lr=0.1,
        presets={
            "makemore": zoo.Preset("contexts of 5 characters, names in file order"),
            "lecture": zoo.Preset(
                "contexts of 3 characters, names shuffled: validation loss 2.057",
                settings={"model.context_length": 3, "data.shuffle_seed": 42},
            ),
            "tuned": zoo.Preset(
                "contexts of 5 characters, names shuffled: validation loss 1.972", settings={"data.shuffle_seed": 42}
            ),
        },
        description=(
            "The baseline that a net must beat: n-gram counts with power law discounting (Huang and Renals). Its "
            "validation loss on names is lower than that of modified Kneser-Ney (1.998) or Witten-Bell (2.102)."
        ),
        references=(
            "Huang, Renals, Power Law Discounting for N-gram Language Models, ICASSP 2010",
            "Teh, A Hierarchical Bayesian Language Model based on Pitman-Yor Processes, ACL 2006",
            "Kneser, Ney, Improved backing-off for m-gram language modeling, ICASSP 1995",
        ),
        weights=_weights("ngram"),
        fitted=("fitted_size",),
    )


def _feed_forward() -> list[zoo.ModelSpec]:
    return [
        _makemore(
            "bigram",
            "bigram:Bigram",
            "A table of logits for each character (makemore part 1)",
            _tuned(3_000, 256, 0.03, {"optimizer.weight_decay": 0.0}),
            _LECTURE.format("1: bigrams (2022)", "PaCmpygFfXo"),
        ),
        _makemore(
            "bow",
            "bow:BoW",
            "Causal bag of words: mean embedding of the prefix",
            _tuned(10_000, 64, 4e-3, {"model.n_embd2": 128, "model.dropout": 0.1}),
            reads="sequences",
            width="n_embd2",
            embedding="wte.weight",
        ),
        _makemore(
            "mlp",
            "mlp:MLP",
            "MLP over all characters of the word so far",
            _tuned(10_000, 64, 4e-3, {"model.n_embd": 16, "model.n_embd2": 192, "model.dropout": 0.3}),
            "Bengio, Ducharme, Vincent, Jauvin, A Neural Probabilistic Language Model, JMLR 3 (2003) 1137-1155",
            reads="sequences",
            width="n_embd2",
        ),
    ]


def _with_batch_norm() -> list[zoo.ModelSpec]:
    return [
        _lecture(
            "mlp-bn",
            "mlp_bn:MLPBatchNorm",
            "Character MLP, batch norm, Kaiming initialization (part 3)",
            100_000,
            _tuned(40_000, 128, 4e-3, {"optimizer.betas": (0.9, 0.999), "model.n_hidden": 300, "model.n_embd": 16}),
            _LECTURE.format("3: Activations & Gradients, BatchNorm (2022)", "P6sfmUTpUmc"),
            _BATCH_NORM,
            "He, Zhang, Ren, Sun, Delving Deep into Rectifiers, ICCV 2015, https://arxiv.org/abs/1502.01852",
            width="n_hidden",
            embedding="C",
        ),
        _lecture(
            "wavenet",
            "wavenet:WaveNet",
            "Characters merged in pairs, with batch norm (part 5)",
            150_000,
            _tuned(40_000, 256, 2e-3, {"optimizer.weight_decay": 0.1, "model.dropout": 0.1}, synthetic=0.25),
            _LECTURE.format("5: Building a WaveNet (2022)", "t3YJ5hKiMQ0"),
            "van den Oord and others, WaveNet, 2016, https://arxiv.org/abs/1609.03499",
            _BATCH_NORM,
            width="n_hidden",
            embedding="wte.weight",
        ),
    ]


def _sequence_models() -> list[zoo.ModelSpec]:
    return [
        _makemore(
            "rnn",
            "recurrent:RNN",
            "Elman RNN: one tanh layer along the word",
            _tuned(14_000, 64, 2e-3, {"model.n_embd2": 256, "model.dropout": 0.3}),
            "Mikolov and others, Recurrent neural network based language model, Interspeech 2010",
            renamed=_RENAMED,
            reads="sequences",
            width="n_embd2",
            embedding="wte.weight",
        ),
        _makemore(
            "gru",
            "recurrent:GRU",
            "Gated recurrent unit",
            _tuned(10_000, 64, 4e-3, {"model.n_embd": 32, "model.n_embd2": 224, "model.dropout": 0.3}, synthetic=0.25),
            "Cho and others, Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014",
            renamed=_RENAMED,
            reads="sequences",
            width="n_embd2",
            embedding="wte.weight",
        ),
        _makemore(
            "lstm",
            "recurrent:LSTM",
            "Long short-term memory",
            _tuned(8_000, 64, 4e-3, _LSTM, synthetic=0.25),
            "Hochreiter, Schmidhuber, Long Short-Term Memory, Neural Computation 9 (1997) 1735-1780",
            others={"ensemble": _lstm_ensemble()},
            renamed={**_RENAMED, "committee": "ensemble"},
            reads="sequences",
            width="n_embd2",
            embedding="wte.weight",
        ),
        _makemore(
            "transformer",
            "transformer:Transformer",
            "A small GPT-2: causal self-attention",
            _tuned(24_000, 64, 4e-3, {"optimizer.weight_decay": 0.1, "model.dropout": 0.05}, synthetic=0.3),
            "Vaswani and others, Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762",
            "Radford and others, Language Models are Unsupervised Multitask Learners, 2019",
            "Su and others, RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021",
            "Andrej Karpathy, nanoGPT, https://github.com/karpathy/nanoGPT",
            others={
                "shakespeare": _running_text("nanoGPT's sizes and steps for a CPU", 2_000, 12, 64),
                "shakespeare-tuned": _running_text("ours: longer blocks and more of them", 3_000, 16, 128),
            },
            reads="sequences",
            width="n_embd",
            embedding="wte.weight",
        ),
    ]
