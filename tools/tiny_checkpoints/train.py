"""Train the tiny checkpoints of `tests/checkpoints`.

Usage:
    python -m tools.tiny_checkpoints.train --model all --out tests/checkpoints

Shapes are hard to learn from captions alone: for a long time the colour is right and the shape is
wrong. So the vision tower is trained first, with a linear head that is discarded, and then the
whole model on captions. The numbers of steps are fixed to make a run repeatable, and there is one
thread, for the same reason and because more do not make such small models faster.
"""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.utils import logging

from tools.tiny_checkpoints.build import BUILDERS
from tools.tiny_checkpoints.chat import smolvlm_states
from tools.tiny_checkpoints.checkpoint import Checkpoint, save
from tools.tiny_checkpoints.evaluate import chunks, measure
from tools.tiny_checkpoints.losses import LOSSES
from tools.tiny_checkpoints.shapes import LABELS, Picture, draw
from tools.tiny_checkpoints.sizes import WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tools.tiny_checkpoints.losses import Loss

PICTURES = 8192
BATCH = 32
MAX_LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Plan:
    """How long to train.

    Attributes:
        tower_steps: Steps for the vision tower alone.
        steps: Steps for the whole model.

    """

    tower_steps: int
    steps: int


PLANS = {
    "vit-gpt2": Plan(2000, 1500),
    "blip": Plan(2000, 1500),
    "vit-classifier": Plan(0, 3000),
    "kosmos-2": Plan(2500, 1200),
    "smolvlm": Plan(1500, 1600),
    "siglip2": Plan(1500, 1500),
    "clip": Plan(1500, 1500),
    "florence2": Plan(2000, 2000),
}


class TowerHead(nn.Module):
    """Predicts the class and the box of the shape from the states of a vision tower."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Linear(WIDTH, len(LABELS))
        self.box = nn.Linear(WIDTH, 4)

    def forward(self, states: Tensor, classes: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss on states (N, patches, width), classes (N,) and boxes (N, 4)."""
        pooled = states.mean(1)
        return nn.functional.cross_entropy(self.classes(pooled), classes) + 10 * (
            nn.functional.mse_loss(self.box(pooled), boxes)
        )


def fit(
    parameters: Iterable[nn.Parameter], loss: Loss, *, count: int, steps: int, seed: int
) -> None:
    """Minimise a loss over random batches with AdamW; the learning rate falls linearly.

    Args:
        parameters: What to train.
        loss: The loss on a batch of pictures, given as indices.
        count: Number of pictures.
        steps: Number of steps.
        seed: The seed of the batches.

    """
    trained = list(parameters)
    optimizer = torch.optim.AdamW(
        trained, lr=MAX_LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 40) * max(0.02, 1 - step / steps)
    )
    generator = torch.Generator().manual_seed(seed)
    began = time.process_time()
    for step in range(steps):
        value = loss(torch.randint(0, count, (BATCH,), generator=generator))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps - 1:
            spent = time.process_time() - began
            print(f"  step {step} loss {value.item():.4f} CPU {spent:.0f} s", flush=True)


def pixel_values(checkpoint: Checkpoint, pictures: Sequence[Picture]) -> Tensor:
    """Return the pictures as the model's input, (pictures, 3, side, side)."""
    process: Any = checkpoint.image_processor
    pixels = [
        process(images=[picture.image for picture in chunk], return_tensors="pt").pixel_values
        for chunk in chunks(pictures, 256)
    ]
    side = pixels[0].shape[-1]
    return torch.cat(pixels).view(-1, 3, side, side)  # SmolVLM's has a dimension of tiles


def kosmos_2_states(model: Any, pixels: Tensor) -> list[Tensor]:  # noqa: ANN401 - untyped library
    """Return two layers of Kosmos-2's vision tower to train a head on.

    The second layer is the picture in the text. It is computed from the first one, but training is
    much slower without a head for that.
    """
    states = model.vision_model(pixel_values=pixels).last_hidden_state
    states = nn.functional.normalize(model.vision_model.model.post_layernorm(states), dim=-1)
    projected, _ = model.image_to_text_projection(states)
    return [states * WIDTH**0.5, projected]


STATES: dict[str, Callable[[Any, Tensor], list[Tensor]]] = {
    "vit-gpt2": lambda model, pixels: [model.encoder(pixels).last_hidden_state],
    "blip": lambda model, pixels: [model.vision_model(pixels).last_hidden_state],
    "kosmos-2": kosmos_2_states,
    "smolvlm": smolvlm_states,
    "siglip2": lambda model, pixels: [model.vision_model(pixels).last_hidden_state],
    "clip": lambda model, pixels: [model.vision_model(pixels).last_hidden_state],
    "florence2": lambda model, pixels: [model.get_image_features(pixels).pooler_output],
}
"""Layers of each vision tower; the last one is the text transformer's view of the picture."""


def train_tower(
    name: str, checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor
) -> None:
    """Train the vision tower of a model, with heads that are discarded."""
    heads = nn.ModuleList([TowerHead() for _ in STATES[name](checkpoint.model, pixels[:1])])
    classes = torch.tensor([p.class_id for p in pictures])
    boxes = torch.tensor([p.box for p in pictures])

    def loss(index: Tensor) -> Tensor:
        layers = zip(heads, STATES[name](checkpoint.model, pixels[index]), strict=True)
        losses = [head(states, classes[index], boxes[index]) for head, states in layers]
        return torch.stack(losses).sum()

    plan = PLANS[name]
    parameters = [*checkpoint.model.parameters(), *heads.parameters()]
    fit(parameters, loss, count=len(pictures), steps=plan.tower_steps, seed=1)


def train(name: str, pictures: Sequence[Picture]) -> Checkpoint:
    """Train a model.

    Args:
        name: Its name, such as "blip".
        pictures: What to train it on.

    Returns:
        The trained model with its processors.

    """
    torch.manual_seed(0)
    plan, checkpoint = PLANS[name], BUILDERS[name]()
    pixels = pixel_values(checkpoint, pictures)
    checkpoint.model.train()
    if plan.tower_steps:
        train_tower(name, checkpoint, pictures, pixels)
    loss = LOSSES[name](checkpoint, pictures, pixels)
    fit(checkpoint.model.parameters(), loss, count=len(pictures), steps=plan.steps, seed=2)
    checkpoint.model.eval()
    return checkpoint


def main() -> None:
    """Train, save and measure the models named on the command line."""
    parser = argparse.ArgumentParser(description="Train the tiny checkpoints.")
    parser.add_argument("--model", choices=[*BUILDERS, "all"], default="all")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    pictures = [draw(seed) for seed in range(PICTURES)]
    for name in list(BUILDERS) if arguments.model == "all" else [arguments.model]:
        print(name, flush=True)
        began = time.process_time()
        save(train(name, pictures), arguments.out / name)
        spent = time.process_time() - began
        size = sum(path.stat().st_size for path in (arguments.out / name).iterdir())
        report = measure(name, arguments.out / name)
        print(f"{name}: {report}, {size / 1e6:.2f} MB, trained in {spent:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
