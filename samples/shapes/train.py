#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Train the shapes detector and write everything in this folder but the sources.

    nice /usr/bin/python3 train.py --out . --cache /tmp/shapes

needs PyTorch, ONNX, NumPy, Pillow and pycairo (Debian 12: python3-torch python3-onnx
python3-numpy python3-pil python3-cairo), 4 GB of memory, no GPU and no data: scenes.py draws
all images. Scenes, initial weights and the order of training follow from seeds.
"""

import argparse
import copy
import json
import math
import multiprocessing
import pathlib
import time

import numpy as np
import onnx
import torch
from torch.nn import functional as F

import scenes
from model import STRIDES, Detector, boxes, cells

TRAIN_SEED = 1  # of the other sets: name, seed, number of scenes
TEST_SET, EVAL_SET, CALIB_SET = ("test", 2, 200), ("eval", 3, 40), ("calib", 4, 32)
CLASSES = len(scenes.LABELS)

PROFILE = {
    "name": "shapes",
    "family": "yolox",
    "size": [scenes.SIZE, scenes.SIZE],
    "strides": list(STRIDES),
    "color": "rgb",
    "resize": "letterbox",
    "pad": 114,
    "mean": [0, 0, 0],
    "std": [255, 255, 255],
    "score": 0.05,
    "nms": 0.65,
    "labels": scenes.LABELS,
}


# Data.


def draw(seed, count, processes, cache=None):
    """Images uint8 [count, 3, SIZE, SIZE], objects float32 [count, MAX_OBJECTS, 6]."""
    file = cache / f"scenes-{seed}-{count}.npz" if cache else None
    if file and file.exists():
        stored = np.load(file)
        return stored["pictures"], stored["objects"]
    pictures = np.empty((count, 3, scenes.SIZE, scenes.SIZE), np.uint8)
    objects = np.empty((count, scenes.MAX_OBJECTS, 6), np.float32)
    with multiprocessing.Pool(processes) as pool:
        jobs = ((seed, index) for index in range(count))
        for i, (picture, rows) in enumerate(pool.imap(scenes.sample, jobs, 64)):
            pictures[i], objects[i] = picture, rows
    if file:
        np.savez(file, pictures=pictures, objects=objects)
    return pictures, objects


def augment(rng, pictures, objects):
    """Mirror and turn each image, mix its colours. Returns float tensors; inputs stay."""
    out = np.empty(pictures.shape, np.float32)
    objects = objects.copy()
    for i, picture in enumerate(pictures):
        rows = objects[i]
        used = rows[:, 4] >= 0
        mirror_x, mirror_y, transpose = rng.integers(0, 2, 3)
        if mirror_x:
            picture = picture[:, :, ::-1]
            rows[used, 0:3:2] = scenes.SIZE - rows[used, 2::-2]
        if mirror_y:
            picture = picture[:, ::-1]
            rows[used, 1:4:2] = scenes.SIZE - rows[used, 3:0:-2]
        if transpose:
            picture = picture.transpose(0, 2, 1)
            rows[used, :4] = rows[used][:, [1, 0, 3, 2]]
        gain = rng.uniform(0.8, 1.2, (3, 1, 1)).astype(np.float32) / 255
        out[i] = picture[rng.permutation(3)] * gain
    return torch.from_numpy(out).clamp_(0, 1), torch.from_numpy(objects)


# Loss.


def assign(objects, grid):
    """Which object each cell answers for: long [batch, cells], -1 for none.

    A cell answers for an object if its centre lies in the inner half of the box and within 1.5
    cells of its middle, and its stride fits the size: 8 up to 56 px, 16 from 40 px. Of several
    objects it takes the smallest.
    """
    centre = (grid[:, :2] + 0.5) * grid[:, 2:]
    corner0, corner1 = objects[:, :, None, 0:2], objects[:, :, None, 2:4]
    middle, size = (corner0 + corner1) / 2, corner1 - corner0
    reach = torch.minimum(size / 4, 1.5 * grid[:, 2:]).clamp(min=4.01)
    near = ((centre - middle).abs() < reach).all(-1)
    longest = size.amax(-1)
    fits = torch.where(grid[:, 2] == STRIDES[0], longest <= 56, longest >= 40)
    area = size.prod(-1).expand(near.shape)
    area = torch.where(near & fits & (objects[:, :, None, 4] >= 0), area, torch.inf)
    least, owner = area.min(1)
    return torch.where(least.isfinite(), owner, -1)


def overlap(a, b):
    """IoU and generalized IoU of boxes [n, 4] in pairs."""
    inside = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    around = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    both = inside.clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both
    hull = around.prod(1)
    iou = both / (union + 1e-6)
    return iou, iou - (hull - union) / (hull + 1e-6)


def loss_of(logits, objects, grid):
    """GIoU for the box, cross entropy for objectness and (times the IoU) for the class."""
    owner = assign(objects, grid)
    positive = owner >= 0
    picture, _ = positive.nonzero(as_tuple=True)
    wanted = objects[picture, owner[positive]]
    count = max(len(wanted), 1)

    iou, giou = overlap(boxes(logits, grid)[positive], wanted[:, :4])
    classes = F.one_hot(wanted[:, 4].long(), CLASSES) * iou.detach().clamp(min=0)[:, None]
    box_loss = (1 - giou).sum()
    objectness_loss = F.binary_cross_entropy_with_logits(
        logits[..., 4], positive.float(), reduction="sum"
    )
    class_loss = F.binary_cross_entropy_with_logits(
        logits[..., 5:][positive], classes, reduction="sum"
    )
    return (3 * box_loss + objectness_loss + class_loss) / count


# Training.


def train(options, pictures, objects):
    """AdamW, warm-up and cosine; returns the running mean of the weights, in eval mode."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    model = Detector(CLASSES, scenes.SIZE).to(memory_format=torch.channels_last)
    if options.start:
        model.load_state_dict(torch.load(options.start))
    mean = copy.deepcopy(model).eval().requires_grad_(False)
    grid = cells(scenes.SIZE)

    heavy = [p for p in model.parameters() if p.ndim > 1]
    light = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": heavy, "weight_decay": 0.02}, {"params": light, "weight_decay": 0.0}]
    )
    start, order = time.time(), np.empty(0, int)
    for step in range(options.steps):
        warm = min(1.0, (step + 1) / 200)
        cosine = 0.02 + 0.49 * (1 + math.cos(math.pi * step / options.steps))
        rate = options.rate * warm * cosine
        for group in optimizer.param_groups:
            group["lr"] = rate
        if len(order) < options.batch:
            order = rng.permutation(len(pictures))
        pick, order = order[: options.batch], order[options.batch :]
        images, wanted = augment(rng, pictures[pick], objects[pick])

        logits = model.logits(images.contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits, wanted, grid)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()

        keep = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for old, new in zip(mean.state_dict().values(), model.state_dict().values()):
                if old.is_floating_point():
                    old.lerp_(new, 1 - keep)
                else:
                    old.copy_(new)
        if options.cache and ((step + 1) % 500 == 0 or step + 1 == options.steps):
            torch.save(mean.state_dict(), options.cache / "shapes.pt")
        if (step + 1) % 100 == 0:
            seconds = time.time() - start
            print(f"step {step + 1:5}  loss {loss:.3f}  {seconds:.0f} s", flush=True)
    return mean.to(memory_format=torch.contiguous_format)


# Evaluation: PASCAL VOC, area under the precision-recall curve, IoU 0.5.


def pair_iou(a, b):
    """IoU of every box of a [n, 4] with every box of b [m, 4]: [n, m]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    return both / (area_a[:, None] + area_b[None] - both + 1e-9)


def detect(output, grid):
    """Boxes [n, 4], scores and labels of one output [cells, 5 + classes], best first."""
    corners = boxes(output, grid).numpy()
    best, label = output[:, 5:].max(1)
    score, label = (output[:, 4] * best).numpy(), label.numpy()
    order = np.argsort(-score, kind="stable")
    order = order[score[order] > PROFILE["score"]]
    kept = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        again = pair_iou(corners[first : first + 1], corners[rest])[0] > PROFILE["nms"]
        order = rest[~(again & (label[rest] == label[first]))]
    return corners[kept], score[kept], label[kept]


def average_precision(found, total):
    """Area under the curve of one class: `found` its (score, right or not), `total` objects."""
    found = sorted(found, key=lambda f: -f[0])
    right = np.cumsum([f[1] for f in found])
    recall = np.concatenate([[0], right / max(total, 1)])
    precision = np.concatenate([[0], right / np.arange(1, len(found) + 1)])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * precision[1:]).sum())


@torch.no_grad()
def evaluate(model, pictures, objects, threshold=0.5):
    """AP of each class; objects marked difficult count neither way."""
    grid = cells(scenes.SIZE)
    found, total = [[] for _ in range(CLASSES)], [0] * CLASSES
    for picture, rows in zip(pictures, objects):
        rows = rows[rows[:, 4] >= 0]
        output = model(torch.from_numpy(picture[None] / np.float32(255)))[0]
        corners, scores, labels = detect(output, grid)
        for c in range(CLASSES):
            truth = rows[rows[:, 4] == c]
            total[c] += int((truth[:, 5] == 0).sum())
            taken = np.zeros(len(truth), bool)
            overlaps = pair_iou(corners[labels == c], truth[:, :4])
            for score, row in zip(scores[labels == c], overlaps):
                hit = int(row.argmax()) if len(row) else -1
                if hit < 0 or row[hit] < threshold:
                    found[c].append((score, 0))
                elif not truth[hit, 5]:
                    found[c].append((score, int(not taken[hit])))
                    taken[hit] = True
    return [average_precision(f, t) for f, t in zip(found, total)]


# Output.


def export(model, file):
    """Write ONNX with BatchNormalization left in place, one image at a time."""
    torch.onnx.export(
        model,
        torch.zeros(1, 3, scenes.SIZE, scenes.SIZE),
        str(file),
        input_names=["images"],
        output_names=["output"],
        opset_version=13,
        training=torch.onnx.TrainingMode.PRESERVE,  # EVAL would fold BatchNormalization
        do_constant_folding=False,
    )
    proto = onnx.load(str(file))
    proto.ir_version = 8
    notes = {
        "names": str(dict(enumerate(scenes.LABELS))),
        "description": "shapes: a small detector of drawn shapes, YOLOX output layout",
        "license": "MIT",
    }
    for key, value in notes.items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(file))


def voc(name, objects):
    """The text of a PASCAL VOC annotation; its pixels count from 1 and both ends belong."""
    lines = ["<annotation>", "  <folder>eval</folder>", f"  <filename>{name}.jpg</filename>"]
    lines += ["  <source>", "    <database>lbw shapes</database>", "  </source>"]
    lines += ["  <size>", f"    <width>{scenes.SIZE}</width>"]
    lines += [f"    <height>{scenes.SIZE}</height>", "    <depth>3</depth>", "  </size>"]
    lines += ["  <segmented>0</segmented>"]
    for o in objects:
        x0, y0, x1, y1 = o["box"]
        lines += ["  <object>", f"    <name>{scenes.LABELS[o['label']]}</name>"]
        lines += ["    <pose>Unspecified</pose>"]
        lines += [f"    <truncated>{o['truncated']:d}</truncated>"]
        lines += [f"    <difficult>{o['difficult']:d}</difficult>", "    <bndbox>"]
        lines += [f"      <xmin>{x0 + 1}</xmin>", f"      <ymin>{y0 + 1}</ymin>"]
        lines += [f"      <xmax>{x1}</xmax>", f"      <ymax>{y1}</ymax>"]
        lines += ["    </bndbox>", "  </object>"]
    return "\n".join(lines + ["</annotation>", ""])


def write_pictures(out):
    """eval/*.jpg with eval/*.xml, and calib/*.jpg."""
    for folder, seed, count in [EVAL_SET, CALIB_SET]:
        (out / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, objects = scenes.scene(seed, index)
            name = f"{folder}{index:02}"
            (out / folder / f"{name}.jpg").write_bytes(scenes.jpeg(image, 90))
            if folder == "eval":
                (out / folder / f"{name}.xml").write_text(voc(name, objects))


def main():
    parser = argparse.ArgumentParser(description="train the shapes detector, write its files")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--cache", type=pathlib.Path, help="folder for scenes and weights")
    parser.add_argument("--start", type=pathlib.Path, help="weights a run left in its cache")
    parser.add_argument("--scenes", type=int, default=14000)
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)

    options.out.mkdir(parents=True, exist_ok=True)
    write_pictures(options.out)
    (options.out / "labels.txt").write_text("\n".join(scenes.LABELS) + "\n")
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in PROFILE.items()]
    (options.out / "profile.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")

    start = time.time()
    drawn = draw(TRAIN_SEED, options.scenes, options.threads, options.cache)
    print(f"{options.scenes} scenes in {time.time() - start:.0f} s", flush=True)
    model = train(options, *drawn)
    export(model, options.out / "shapes.onnx")

    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    for name, seed, count in [EVAL_SET, TEST_SET]:
        each = evaluate(model, *draw(seed, count, options.threads))
        table = "  ".join(f"{n} {ap:.3f}" for n, ap in zip(scenes.LABELS, each))
        print(f"{name}: mAP50 {np.mean(each):.4f} on {count} scenes  ({table})")


if __name__ == "__main__":
    main()
