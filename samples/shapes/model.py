# SPDX-License-Identifier: MIT
"""The detector: inverted bottlenecks at strides 4 to 32, a top-down path, two heads.

Images are float [batch, 3, 192, 192], RGB in 0..1. The output is [batch, 720, 5 + classes]:
24 x 24 cells of stride 8, then 12 x 12 of stride 16, row by row. The cell in column i
and row j holds

    tx ty tw th   box centre (i + tx, j + ty) * stride, box size exp(tw, th) * stride
    objectness    0..1
    class scores  0..1 each

which is the layout of YOLOX.
"""

import math

import torch
from torch import nn

STRIDES = (8, 16)


def unit(inputs, outputs, kernel=1, stride=1, groups=1, act=nn.SiLU):
    """Convolution without bias, BatchNormalization, activation.

    The normalized values begin in the part of the activation that is nearly linear, which lets
    a chain of this depth train with few shortcuts.
    """
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs)
    nn.init.constant_(norm.bias, 2.0 if act is nn.ReLU6 else 1.0)
    return nn.Sequential(conv, norm, act())


def separable(inputs, outputs, stride=1):
    """Depthwise 3 x 3, then 1 x 1."""
    depthwise = unit(inputs, inputs, 3, stride, groups=inputs, act=nn.ReLU6)
    return nn.Sequential(depthwise, unit(inputs, outputs))


class Bottleneck(nn.Module):
    """1 x 1 to 1.5 times the channels, depthwise 3 x 3, 1 x 1; residual: plus the input."""

    def __init__(self, inputs, outputs, stride=1, residual=False):
        super().__init__()
        wide = inputs * 3 // 2
        self.expand = unit(inputs, wide)
        self.depthwise = unit(wide, wide, 3, stride, groups=wide, act=nn.ReLU6)
        self.project = unit(wide, outputs)
        self.residual = residual

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def chain(channels, repeats):
    """Blocks at one resolution; every second is residual."""
    return [Bottleneck(channels, channels, residual=i % 2 == 0) for i in range(repeats)]


def stage(inputs, outputs, repeats):
    """Halve the resolution, then a chain."""
    return nn.Sequential(Bottleneck(inputs, outputs, 2), *chain(outputs, repeats))


def branch(channels):
    """What a head does before it predicts."""
    return nn.Sequential(separable(channels, channels), separable(channels, channels))


class Head(nn.Module):
    """Two branches over one scale: box and objectness, and classes. Raw values, no sigmoid."""

    def __init__(self, channels, classes):
        super().__init__()
        self.where = branch(channels)
        self.what = branch(channels)
        self.box = nn.Conv2d(channels, 4, 1)
        self.objectness = nn.Conv2d(channels, 1, 1)
        self.classes = nn.Conv2d(channels, classes, 1)
        for conv in (self.objectness, self.classes):  # begin at a probability of 2 %
            nn.init.constant_(conv.bias, -math.log(0.98 / 0.02))

    def forward(self, x):
        where, what = self.where(x), self.what(x)
        return self.box(where), self.objectness(where), self.classes(what)


class Detector(nn.Module):
    """Finds objects of `classes` classes in square images of `size` pixels."""

    def __init__(self, classes, size):
        super().__init__()
        self.classes, self.size = classes, size
        self.stem = nn.Sequential(unit(3, 16, 3, 2), separable(16, 24, 2), Bottleneck(24, 24))
        self.stage8 = stage(24, 48, 3)
        self.stage16 = stage(48, 64, 4)
        self.stage32 = stage(64, 80, 3)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral32 = unit(80, 64)
        self.merge16 = nn.Sequential(unit(64 + 64, 64), *chain(64, 2))
        self.lateral16 = unit(64, 48)
        self.merge8 = nn.Sequential(unit(48 + 48, 48), *chain(48, 2))
        self.head8 = Head(48, classes)
        self.head16 = Head(64, classes)

    def levels(self, images):
        """Raw (box, objectness, classes) maps of stride 8, then of stride 16."""
        c8 = self.stage8(self.stem(images))
        c16 = self.stage16(c8)
        c32 = self.stage32(c16)
        p16 = self.merge16(torch.cat([self.up(self.lateral32(c32)), c16], 1))
        p8 = self.merge8(torch.cat([self.up(self.lateral16(p16)), c8], 1))
        return self.head8(p8), self.head16(p16)

    def logits(self, images):
        """[batch, cells, 5 + classes] before any sigmoid: what the loss wants."""
        rows = [torch.cat(maps, 1).flatten(2) for maps in self.levels(images)]
        return torch.cat(rows, 2).transpose(1, 2)

    def forward(self, images):
        """The same with objectness and classes in 0..1, all shapes constant: for export."""
        rows = []
        for (box, obj, cls), stride in zip(self.levels(images), STRIDES):
            maps = torch.cat([box, torch.sigmoid(obj), torch.sigmoid(cls)], 1)
            rows.append(maps.reshape(-1, 5 + self.classes, (self.size // stride) ** 2))
        return torch.cat(rows, 2).transpose(1, 2)


def cells(size):
    """Column, row and stride of every cell of a square image: float [cells, 3]."""
    out = []
    for stride in STRIDES:
        n = size // stride
        row, column = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        out.append(torch.stack([column, row, torch.full((n, n), stride)], 2).reshape(-1, 3))
    return torch.cat(out).float()


def boxes(output, grid):
    """Corners x0, y0, x1, y1 in pixels [..., cells, 4] from the first columns of an output."""
    stride = grid[:, 2:]
    centre = (output[..., :2] + grid[:, :2]) * stride
    half = torch.exp(output[..., 2:4].clamp(max=6)) * stride / 2
    return torch.cat([centre - half, centre + half], -1)
