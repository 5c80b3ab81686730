"""The Python API in one screen: train two nets, compare them, load the better one, and sample names from it.

python scripts/examples/python_api.py [STEPS]
"""

import sys

import zoo


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("models:", ", ".join(zoo.list_models()))

    runs = {}
    for hidden_size in (50, 200):
        run = zoo.run(
            "mlp-char",
            dataset="names-ssa-2018",
            steps=steps,
            settings={"model.hidden_size": hidden_size, "data.shuffle_seed": 42},
        )
        runs[run.losses["val"]] = run
        print(f"{hidden_size} hidden units: validation loss {run.losses['val']:.4f}, in {run.path}")

    best = zoo.load(runs[min(runs)].path)
    print(f"{best.config['model']['parameters']:,} parameters, vocabulary {''.join(best.vocabulary)}")
    print(" ".join(best.sample(10, seed=1, temperature=0.8)))


if __name__ == "__main__":
    main()
