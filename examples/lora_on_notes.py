"""LoRA on texts of one's own: a model is taken as it is, and an adapter learns notes.

    python examples/lora_on_notes.py            # a tiny model, half a minute
    python examples/lora_on_notes.py notes/ openai-community/gpt2

Without arguments it trains a tiny model of characters first, so that nothing has to be
downloaded, and then adapts it to notes that it writes. Prints, after what training
prints, the validation loss of the notes before and after.

Needs: pip install 'jax-npu[gpt2]', for a name on the Hub 'jax-npu[hub]'.
"""

import json
import sys
import tempfile
from pathlib import Path

import gpt2_flax

NOTES = "".join(
    f"{day}: watered the tomatoes, {litres} litres; the bees are well.\n"
    for litres in range(2, 12)
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday")
)
TINY = {"num_layers": 1, "num_heads": 2, "embed_dim": 32, "num_positions": 64}


def tiny_model(folder):
    """A model that has read a text in the notes' letters, but not the notes."""
    text = folder / "letters.txt"
    words = sorted(set(NOTES.replace("\n", " \n").split(" ")))
    text.write_text(" ".join(words[i * 7 % len(words)] for i in range(600)) + NOTES[:9])
    out = folder / "base"
    gpt2_flax.train(
        *(out,),
        **TINY,
        data=text,
        tokenizer="chars",
        batch_size=8,
        seq_len=32,
        steps=40,
        lr=5e-3,
        eval_every=40,
    )
    return out


def main(notes=None, weights=None):
    folder = Path(tempfile.mkdtemp(prefix="lora-"))
    if notes is None:
        notes = folder / "notes.txt"
        notes.write_text(NOTES)
    weights = weights or tiny_model(folder)
    out = folder / "adapted"
    gpt2_flax.train(
        *(out,),
        weights=weights,
        adapter="lora",
        lora_rank=4,
        data=notes,
        batch_size=4,
        seq_len=32,
        steps=60,
        lr=1e-2,
        eval_every=60,
    )
    rows = [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [row["val_loss"] for row in rows if "val_loss" in row]
    print(
        f"validation loss of the notes: {losses[0]:.2f} before, {losses[-1]:.2f} after"
    )
    print(f"the adapted model is in {out}; gpt2-flax sample --out {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
