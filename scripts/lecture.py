"""The lecture's notebook, "Building makemore part 2: MLP", on zoo: each cell beside what zoo does in its place.

python scripts/lecture.py                 # as a script: prints what the cells print; --steps 1000 trains for less
marimo edit scripts/lecture.py            # as a notebook, with plots, and a slider for the context length

Lecture: https://www.youtube.com/watch?v=TCH_1BHY58I
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="makemore part 2: MLP")


@app.cell
def _():
    import marimo as mo
    import torch
    import torch.nn.functional as F

    import zoo

    torch.set_num_threads(1)  # the fastest for a net of this size; and another number sums in another order
    steps = int(str(mo.cli_args().get("steps") or 5000))
    return F, mo, steps, torch, zoo


@app.cell
def _(mo):
    mo.md("""
    # makemore, part 2: MLP

    A net that reads three characters and predicts the next one, after Bengio et al. 2003: each character has an
    embedding `C[x]`, a hidden layer of tanh units reads the embeddings, and a softmax gives the probabilities of the
    next character. Below, the lecture's own code trains it, and then `zoo.run` does, with the same losses to the last
    bit.
    """)
    return


@app.cell
def _(zoo):
    # the names of the lecture; without a network, those of U.S. births in 2018, which come with zoo
    try:
        data = zoo.load_dataset("names")
    except zoo.UnavailableError:
        data = zoo.load_dataset("names-ssa-2018")
    words = data.words
    print(f"{len(words):,} names: {', '.join(words[:8])}")
    data
    return data, words


@app.cell
def _(data):
    stoi, itos = data.vocabulary.stoi, data.vocabulary.itos
    print(stoi)
    return itos, stoi


@app.cell
def _(itos, stoi, words):
    # what the net learns from one name: each character, with the three before it
    context_length = 3  # block_size in the lecture: how many characters predict the next one
    context = [0] * context_length
    for ch in words[0] + ".":
        ix = stoi[ch]
        print("".join(itos[i] for i in context), "-->", itos[ix])
        context = context[1:] + [ix]
    return (context_length,)


@app.cell
def _(context_length, data):
    # the same of all names at once: the first 80 % are for training, the next 10 % for validation, the rest for test
    Xtr, Ytr = data.tensors("train", context_length=context_length)
    Xdev, Ydev = data.tensors("val", context_length=context_length)
    Xte, Yte = data.tensors("test", context_length=context_length)
    print(f"Xtr {tuple(Xtr.shape)}, Ytr {tuple(Ytr.shape)}, Xdev {tuple(Xdev.shape)}, Xte {tuple(Xte.shape)}")
    return Xdev, Xte, Xtr, Ydev, Yte, Ytr


@app.cell
def _(torch):
    g = torch.Generator().manual_seed(2147483647)  # for reproducibility
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 200), generator=g)
    b1 = torch.randn(200, generator=g)
    W2 = torch.randn((200, 27), generator=g)
    b2 = torch.randn(27, generator=g)
    parameters = [C, W1, b1, W2, b2]
    for _p in parameters:
        _p.requires_grad = True
    print(f"{sum(p.nelement() for p in parameters):,} parameters")
    return C, W1, W2, b1, b2, parameters


@app.cell
def _(C, F, W1, W2, Xtr, Ytr, b1, b2, parameters, steps, torch):
    lossi = []
    _g = torch.Generator().manual_seed(2147483647)  # of the minibatches
    for _step in range(steps):
        # minibatch construct
        _ix = torch.randint(0, Xtr.shape[0], (32,), generator=_g)
        # forward pass
        _emb = C[Xtr[_ix]]  # (32, 3, 10)
        _h = torch.tanh(_emb.view(-1, 30) @ W1 + b1)  # (32, 200)
        _logits = _h @ W2 + b2  # (32, 27)
        _loss = F.cross_entropy(_logits, Ytr[_ix])
        # backward pass
        for _p in parameters:
            _p.grad = None
        _loss.backward()
        # update
        _lr = 0.1 if _step < 100000 else 0.01
        for _p in parameters:
            _p.data += -_lr * _p.grad
        # track stats
        lossi.append(_loss.item())
    print(f"loss of the first minibatch {lossi[0]:.4f}, of the last {lossi[-1]:.4f}")
    return (lossi,)


@app.cell
def _(C, F, W1, W2, Xdev, Xte, Xtr, Ydev, Yte, Ytr, b1, b2, lossi, torch):
    @torch.no_grad()
    def split_loss(X, Y):
        h = torch.tanh(C[X].view(-1, 30) @ W1 + b1)
        return F.cross_entropy(h @ W2 + b2, Y).item()

    assert lossi  # the net is trained
    for _name, _X, _Y in [("train", Xtr, Ytr), ("val", Xdev, Ydev), ("test", Xte, Yte)]:
        print(f"{_name:5} {split_loss(_X, _Y):.4f}")
    return


@app.cell
def _(mo):
    mo.md("""
    ## The same by zoo

    `mlp-char` is this net, and its preset `notebook` is this training. The engine `autograd` calls the operators of
    torch that the loop above calls, in the same order.
    """)
    return


@app.cell
def _(data, lossi, steps, zoo):
    run = zoo.run("mlp-char", dataset=data, steps=steps, engine="autograd", device="cpu", threads=1, keep=False)
    assert run.step_losses == lossi  # bit for bit
    print(f"the losses of all {len(lossi):,} steps are equal, bit for bit")
    for _name, _loss in run.losses.items():
        print(f"{_name:5} {_loss:.4f}")
    run
    return (run,)


@app.cell
def _(run):
    run.plot_loss()  # log10 of the loss, with its running mean
    return


@app.cell
def _(run):
    run.plot_embeddings()  # the first two dimensions of C: vowels come together
    return


@app.cell
def _(mo):
    mo.md("""
    ## Another context length

    More characters of context make the input of the hidden layer larger: `W1` has 10 rows for each.
    """)
    return


@app.cell
def _(mo):
    slider = mo.ui.slider(1, 8, value=3, label="characters of context", show_value=True, debounce=True)
    slider
    return (slider,)


@app.cell
def _(data, slider, steps, zoo):
    other = zoo.run(
        "mlp-char",
        dataset=data,
        steps=steps,
        settings={"model.context_length": slider.value, "model.scaled_init": True},
        keep=False,
    )
    other
    return (other,)


@app.cell
def _(F, itos, other, torch):
    # sample from the net that was trained last
    _g = torch.Generator().manual_seed(2147483647 + 10)
    _model = other.model.eval().cpu()
    samples = []
    for _ in range(20):
        _name, _context = "", [0] * _model.context_length
        while len(_name) < 50:
            _probs = F.softmax(_model(torch.tensor([_context])), dim=1)
            _ix = torch.multinomial(_probs, num_samples=1, generator=_g).item()
            if _ix == 0:
                break
            _context = _context[1:] + [_ix]
            _name += itos[_ix]
        samples.append(_name)
    print(" ".join(samples))
    return


if __name__ == "__main__":
    app.run()
