"""Trains a real network on a real data set in PyTorch: the accuracy the engine must match.

Recipe: images are stored once at 1.15 times the input size (val: at the input size), training
takes a random resized crop and a flip, Adam with one rate for each group of parameters and a cosine
schedule over all steps, cross entropy with label smoothing 0.1. Nothing is selected on val: the
last epoch counts. One JSON line a run.

    accuracy_torch.py --data flowers17 --update last bias full --seeds 0 1
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from onnx_torch import UPDATES, OnnxModule, data_root, model_path

Samples = Tuple[List[np.ndarray], np.ndarray]  # RGB images [h][w][3], labels


def _centre(image: Image.Image, side: int) -> Image.Image:
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _stored(path: Path, side: int, is_train: bool, squash: bool) -> np.ndarray:
    """One decoded image at the size at which the recipe keeps it."""
    image = Image.open(path).convert("RGB")
    if squash:
        stored_side = side * 5 // 4 if is_train else side
        return np.asarray(image.resize((stored_side, stored_side), Image.BILINEAR))
    scale = int(side * 1.15) / min(image.size)
    size = [max(side, round(length * scale)) for length in image.size]
    image = image.resize(size, Image.BILINEAR)
    return np.asarray(image if is_train else _centre(image, side))


def load(folder: Path, side: int, is_train: bool, squash: bool) -> Samples:
    """All images below folder/CLASS; classes are numbered in alphabetical order."""
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    images, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).iterdir()):
            images.append(_stored(path, side, is_train, squash))
            labels.append(label)
    return images, np.array(labels)


def _crop_box(height: int, width: int, rng: np.random.Generator) -> Tuple[int, int, int, int]:
    """top, left, height, width of a RandomResizedCrop: area U(0.35, 1), ratio 3/4..4/3."""
    for _ in range(10):
        area = height * width * rng.uniform(0.35, 1.0)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def augment(image: np.ndarray, side: int, rng: np.random.Generator) -> Tensor:
    """A random crop, resized by plain bilinear interpolation, flipped half of the time."""
    top, left, h, w = _crop_box(image.shape[0], image.shape[1], rng)
    crop = torch.from_numpy(image[top:top + h, left:left + w].copy()).permute(2, 0, 1)[None].float()
    crop = F.interpolate(crop, (side, side), mode="bilinear", align_corners=False)
    return crop.flip(3) if rng.uniform() < 0.5 else crop


def normalise(pixels: Tensor) -> Tensor:
    """[0, 255] to [-1, 1]."""
    return (pixels - 127.5) / 127.5


def top1(model: OnnxModule, samples: Samples) -> float:
    """Share of images whose largest output is their label, in per cent."""
    images, labels = samples
    correct = 0
    with torch.no_grad():
        for first in range(0, len(images), 32):
            x = torch.from_numpy(np.stack(images[first:first + 32])).permute(0, 3, 1, 2).float()
            answer = model(normalise(x)).argmax(1).numpy()
            correct += int((answer == labels[first:first + 32]).sum())
    return 100.0 * correct / len(images)


def make_optimizer(model: OnnxModule, update: str, args: argparse.Namespace) -> torch.optim.Adam:
    """One rate for the head, one for the biases (bias) or for the whole backbone (full)."""
    groups = model.set_update(update)
    backbone_lr = args.lr if args.lr is not None else {"full": 1e-4}.get(update, 3e-4)
    rates = {"head": args.head_lr, "biases": backbone_lr, "weights": backbone_lr}
    return torch.optim.Adam([{"params": p, "lr": rates[k]} for k, p in groups.items() if p])


def train(update: str, seed: int, train_set: Samples, val_set: Samples,
          args: argparse.Namespace) -> Dict[str, Any]:
    """One run; returns what is printed."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = OnnxModule(model_path(args.model))
    model.replace_head(int(train_set[1].max()) + 1)
    optimizer = make_optimizer(model, update, args)
    steps_in_epoch = len(train_set[0]) // args.batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: 0.5 * (1 + math.cos(math.pi * k / (args.epochs * steps_in_epoch))))
    losses, val, started = [], [], time.time()
    for epoch in range(args.epochs):
        order, total = rng.permutation(len(train_set[0])), 0.0
        for step in range(steps_in_epoch):
            picked = order[step * args.batch_size:(step + 1) * args.batch_size]
            x = normalise(torch.cat([augment(train_set[0][i], args.side, rng) for i in picked]))
            y = torch.from_numpy(train_set[1][picked])
            loss = F.cross_entropy(model(x), y, label_smoothing=args.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        losses.append(round(total / steps_in_epoch, 4))
        if args.eval_every_epoch or epoch + 1 == args.epochs:
            val.append(round(top1(model, val_set), 2))
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"model": args.model, "data": args.data, "update": update, "seed": seed,
            "epochs": args.epochs, "trainable": learning, "val_top1": val[-1],
            "val_top1_per_epoch": val, "loss_per_epoch": losses,
            "seconds": round(time.time() - started, 1)}


def main() -> None:
    """Reads the options, loads the data once, prints one JSON line a run."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="flowers17", help="data set below $TINYTL_DATA/datasets")
    parser.add_argument("--model", default="mbv2-w0.35_imagenet128_fp32.onnx")
    parser.add_argument("--update", nargs="+", choices=UPDATES, default=list(UPDATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--side", type=int, default=128, help="input side in pixels")
    parser.add_argument("--head-lr", type=float, default=1e-2)
    parser.add_argument("--lr", type=float, help="backbone; default 3e-4 (bias), 1e-4 (full)")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--squash", action="store_true",
                        help="resize to a square instead of cropping (default for cars66)")
    parser.add_argument("--eval-every-epoch", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    squash = args.squash or args.data == "cars66"
    folder = data_root() / "datasets" / args.data
    train_set = load(folder / "train", args.side, True, squash)
    val_set = load(folder / "val", args.side, False, squash)
    for seed in args.seeds:
        for update in args.update:
            print(json.dumps(train(update, seed, train_set, val_set, args)), flush=True)


if __name__ == "__main__":
    main()
