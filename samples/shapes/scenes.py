# SPDX-License-Identifier: MIT
"""Procedural scenes: coloured shapes on cluttered backgrounds, with exact boxes.

`scene(seed, index)` is a pure function: the same two integers give the same image. Lengths
are pixels, colours are RGB in 0..1, boxes are integers x0, y0, x1, y1 with x1 and y1 exclusive.
"""

import colorsys
import io
import math

import cairo
import numpy as np
from PIL import Image, ImageFilter

SIZE = 192  # side of every image
MAX_OBJECTS = 12  # rows of the padded box array of one scene


# Outlines: functions of a random generator that give closed polygons [points, 2] within the
# unit disc. Several polygons make one shape by the even-odd rule (the hole of a ring).


def arc(start, stop, count=72, radius=1.0, centre=(0.0, 0.0)):
    """Points [count, 2] on an arc from angle `start` to `stop`, both in radians."""
    angle = np.linspace(start, stop, count)
    return np.stack([np.cos(angle), np.sin(angle)], 1) * radius + centre


def regular(corners):
    """Corners of a regular polygon."""
    return arc(0, 2 * math.pi, corners + 1)[:-1]


def circle(rng):
    return [arc(0, 2 * math.pi)]


def square(rng):
    return [regular(4)]


def triangle(rng):
    return [regular(3)]


def star(rng):
    points = regular(10)
    points[1::2] *= rng.uniform(0.40, 0.52)
    return [points]


def hexagon(rng):
    return [regular(6)]


def ring(rng):
    return [arc(0, 2 * math.pi), arc(0, 2 * math.pi, radius=rng.uniform(0.45, 0.68))]


def cross(rng):
    a = rng.uniform(0.24, 0.36)  # half the width of a bar
    b = math.sqrt(1 - a * a)
    corner = np.array([[b, -a], [b, a], [a, a]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    quarters = [corner]
    for _ in range(3):
        quarters.append(quarters[-1] @ turn)
    return [np.concatenate(quarters)]


def crescent(rng):
    """A disc less another disc of radius r whose centre is d to the right."""
    d, r = rng.uniform(0.42, 0.60), rng.uniform(0.78, 0.88)
    x = (1 - r * r + d * d) / (2 * d)  # where the two circles meet
    y = math.sqrt(1 - x * x)
    outer, inner = math.atan2(y, x), math.atan2(y, x - d)
    return [
        np.concatenate(
            [
                arc(outer, 2 * math.pi - outer),
                arc(2 * math.pi - inner, inner, radius=r, centre=(d, 0)),
            ]
        )
    ]


# name: (outline, least diameter at which a person still tells it from the others)
SHAPES = {
    "circle": (circle, 16),
    "square": (square, 18),
    "triangle": (triangle, 17),
    "star": (star, 20),
    "hexagon": (hexagon, 27),
    "ring": (ring, 17),
    "cross": (cross, 18),
    "crescent": (crescent, 18),
}
LABELS = list(SHAPES)


# Colours.


def palette(rng):
    """A function without arguments that draws one colour of a scheme of three hues."""
    base = rng.uniform()
    hues = base + rng.choice([[0, 0.33, 0.67], [0, 0.08, 0.5], [0, 0.5, 0.58], [0, 0.1, 0.2]])
    dull = rng.uniform(0.2, 1)

    def draw():
        hue = rng.choice(hues) + rng.normal(0, 0.03)
        return np.array(
            colorsys.hsv_to_rgb(hue % 1, dull * rng.uniform(0.1, 0.95), rng.uniform(0.12, 1))
        )

    return draw


def distance(a, b):
    """How different two colours look, 0..1: mostly by lightness."""
    weight = np.array([0.30, 0.55, 0.15])
    return math.sqrt(float(((a - b) ** 2 * weight).sum()))


def contrasting(rng, draw, behind, least, most):
    """A colour whose distance from `behind` lies in [least, most], or the nearest of 60."""
    best, best_miss = None, math.inf
    for attempt in range(60):
        colour = draw() if attempt < 20 else rng.uniform(0, 1, 3)
        away = distance(colour, behind)
        miss = max(least - away, away - most, 0)
        if miss < best_miss:
            best, best_miss = colour, miss
        if miss == 0:
            break
    return best


# Drawing: a cairo context over an image surface of SIZE x SIZE.


def pixels(surface):
    """The RGB bytes [SIZE, SIZE, 3] of a cairo surface: a copy."""
    surface.flush()
    data = np.ndarray((SIZE, SIZE, 4), np.uint8, surface.get_data())
    return data[:, :, 2::-1].copy()


def trace(context, polygons):
    """Make the polygons, in pixels, the current path."""
    context.new_path()
    for points in polygons:
        for x, y in points:
            context.line_to(x, y)
        context.close_path()


def gradient(rng, first, second, centre, reach):
    """A linear or radial gradient across `reach` pixels around `centre`."""
    angle = rng.uniform(0, 2 * math.pi)
    dx, dy = reach * math.cos(angle), reach * math.sin(angle)
    if rng.uniform() < 0.7:
        pattern = cairo.LinearGradient(
            centre[0] - dx, centre[1] - dy, centre[0] + dx, centre[1] + dy
        )
    else:
        x, y = centre[0] + dx / 2, centre[1] + dy / 2
        pattern = cairo.RadialGradient(x, y, 0, x, y, 1.6 * reach)
    pattern.add_color_stop_rgb(0, *first)
    pattern.add_color_stop_rgb(1, *second)
    return pattern


def stripes(context, rng, colour, alpha, period, wave=0.0):
    """Parallel stripes, waving by `wave` pixels, over whatever is clipped."""
    angle, phase = rng.uniform(0, math.pi), rng.uniform(0, 6)
    context.save()
    context.translate(SIZE / 2, SIZE / 2)
    context.rotate(angle)
    context.set_source_rgba(*colour, alpha)
    context.set_line_width(period * rng.uniform(0.3, 0.6))
    for y in np.arange(-SIZE, SIZE, period):
        for x in np.arange(-SIZE, SIZE + 1, 12 if wave else 2 * SIZE):
            context.line_to(x, y + wave * math.sin(x / 17 + phase))
        context.stroke()
    context.restore()


def wobbly(rng, centre, radius, stretch):
    """A smooth irregular blob [64, 2]: a distractor that is no shape of ours."""
    angle = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    r = np.ones(64)
    for k in range(2, 6):
        r += rng.normal(0, 0.42 / k) * np.cos(k * angle + rng.uniform(0, 6))
    points = np.stack([np.cos(angle) * stretch, np.sin(angle) / stretch], 1)
    points *= np.maximum(r, 0.15)[:, None] * radius
    turn = rng.uniform(0, math.pi)
    c, s = math.cos(turn), math.sin(turn)
    return points @ np.array([[c, s], [-s, c]]) + centre


def background(context, rng, draw):
    """A gradient, then up to two layers of texture."""
    first = draw()
    second = contrasting(rng, draw, first, 0.05, 0.45)
    context.set_source(gradient(rng, first, second, (SIZE / 2, SIZE / 2), SIZE * 0.6))
    context.paint()
    for _ in range(rng.integers(0, 3)):
        kind = rng.integers(4)
        colour = contrasting(rng, draw, (first + second) / 2, 0.05, 0.35)
        alpha = rng.uniform(0.15, 0.6)
        if kind == 0:
            stripes(context, rng, colour, alpha, rng.uniform(5, 24), rng.uniform(0, 6))
        elif kind == 1:  # large leaves
            for _ in range(rng.integers(6, 18)):
                centre, radius = rng.uniform(0, SIZE, 2), rng.uniform(10, 45)
                trace(context, [wobbly(rng, centre, radius, rng.uniform(1.1, 1.9))])
                context.set_source_rgba(*(colour + rng.normal(0, 0.08, 3)), alpha)
                context.fill()
        elif kind == 2:  # shards: triangles far too slim to be ours
            for _ in range(rng.integers(8, 24)):
                tip, angle = rng.uniform(0, SIZE, 2), rng.uniform(0, 2 * math.pi)
                length, spread = rng.uniform(40, 120), rng.uniform(0.06, 0.25)
                fan = arc(angle - spread, angle + spread, 2, length, tip)
                trace(context, [np.concatenate([[tip], fan])])
                context.set_source_rgba(*(colour + rng.normal(0, 0.08, 3)), alpha)
                context.fill()
        else:  # fine dots
            step = rng.uniform(6, 12)
            context.set_source_rgba(*colour, alpha)
            for y in np.arange(0, SIZE, step):
                for x in np.arange(0, SIZE, step):
                    context.rectangle(x, y, step * 0.3, step * 0.3)
            context.fill()


def distract(context, rng, draw):
    """One thing that is not to be found: a line, curve, scribble, blob, bar or corner."""
    kind = rng.integers(6)
    x, y = rng.uniform(0, SIZE, 2)
    context.set_source_rgba(*draw(), rng.uniform(0.5, 1))
    context.set_line_width(rng.uniform(1, 4))
    context.new_path()
    if kind == 0:
        context.move_to(x, y)
        context.line_to(*rng.uniform(0, SIZE, 2))
        context.stroke()
    elif kind == 1:
        context.move_to(x, y)
        context.curve_to(*rng.uniform(-40, SIZE + 40, 6))
        context.stroke()
    elif kind == 2:  # a word in no alphabet
        height = rng.uniform(5, 14)
        context.set_line_width(rng.uniform(1, 2))
        for _ in range(rng.integers(3, 9)):
            context.move_to(x, y + rng.uniform(0, height))
            for _ in range(rng.integers(2, 5)):
                context.line_to(x + rng.uniform(0, 0.7) * height, y + rng.uniform(0, height))
            x += 0.9 * height
        context.stroke()
    elif kind == 3:
        trace(context, [wobbly(rng, (x, y), rng.uniform(5, 22), rng.uniform(1, 2.2))])
        context.fill()
    elif kind == 4:
        context.save()
        context.translate(x, y)
        context.rotate(rng.uniform(0, math.pi))
        width = rng.uniform(4, 12)
        context.rectangle(0, 0, width * rng.uniform(3, 7), width)
        context.fill()
        context.restore()
    else:
        turn, arm = rng.uniform(0, 2 * math.pi), rng.uniform(8, 26)
        first, second = arc(turn, turn + rng.uniform(0.7, 2.2), 2, arm, (x, y))
        context.move_to(*first)
        context.line_to(x, y)
        context.line_to(*second)
        context.stroke()


def place(rng):
    """Choose a shape, size, turn and place: (class, polygons in pixels, centre, diameter)."""
    label = int(rng.integers(len(LABELS)))
    outline, least = SHAPES[LABELS[label]]
    diameter = least * (112 / least) ** rng.uniform(0, 1)
    centre = rng.uniform(0.3 * diameter, SIZE - 0.3 * diameter, 2)
    turn = rng.uniform(0, 2 * math.pi)
    c, s = math.cos(turn), math.sin(turn)
    lean = np.diag(np.array([1, rng.uniform(0.88, 1.0)]) * diameter / 2)
    matrix = lean @ np.array([[c, s], [-s, c]])
    return label, [points @ matrix + centre for points in outline(rng)], centre, diameter


def coverage(polygons):
    """Which pixels the polygons cover: bool [SIZE, SIZE], and their whole area in pixels."""
    surface = cairo.ImageSurface(cairo.FORMAT_A8, SIZE, SIZE)
    context = cairo.Context(surface)
    context.set_fill_rule(cairo.FILL_RULE_EVEN_ODD)
    trace(context, polygons)
    context.fill()
    surface.flush()
    mask = np.ndarray((SIZE, surface.get_stride()), np.uint8, surface.get_data())
    area = 0.0
    for index, p in enumerate(polygons):
        q = np.roll(p, 1, 0)
        part = abs(float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum())) / 2
        area += part if index == 0 else -part
    return mask[:, :SIZE] > 127, area


def paint(context, surface, rng, draw, polygons, mask, centre, diameter):
    """Fill the polygons so that they stand out from what lies beneath, sometimes only just."""
    behind = pixels(surface)[mask].mean(0) / 255
    faint = rng.uniform() < 0.25
    span = (0.11, 0.20) if faint else (0.24, 1.0)
    colour = contrasting(rng, draw, behind, *span)
    if rng.uniform() < 0.3:  # shadow
        offset = rng.uniform(-0.06, 0.06, 2) * diameter
        trace(context, [points + offset for points in polygons])
        context.set_source_rgba(0, 0, 0, 0.25)
        context.fill()
    trace(context, polygons)
    other = np.clip(colour + rng.normal(0, 0.04 if faint else 0.12, 3), 0, 1)
    context.set_source(gradient(rng, colour, other, centre, diameter / 2))
    context.fill()
    if diameter > 28 and not faint and rng.uniform() < 0.35:  # texture
        context.save()
        trace(context, polygons)
        context.clip()
        stripes(context, rng, 1 - colour, rng.uniform(0.12, 0.35), rng.uniform(3.5, 9))
        context.restore()
    if diameter > 24 and rng.uniform() < 0.25:  # rim, inside of the outline
        context.save()
        trace(context, polygons)
        context.clip_preserve()
        context.set_source_rgb(*(colour * rng.uniform(0.3, 0.8)))
        context.set_line_width(rng.uniform(2, 5))
        context.stroke()
        context.restore()


def develop(rng, picture):
    """What a camera would do: light, blur, noise and JPEG. uint8 [SIZE, SIZE, 3] in and out."""
    x = picture.astype(np.float32)
    if rng.uniform() < 0.5:  # uneven light
        grid = rng.uniform(0.65, 1.15, (3, 3)).astype(np.float32)
        light = Image.fromarray(grid).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        x = x * np.asarray(light)[:, :, None]
    if rng.uniform() < 0.1:
        x = np.repeat(x.mean(2, keepdims=True), 3, 2)
    image = Image.fromarray(np.clip(x, 0, 255).astype(np.uint8))
    if rng.uniform() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3)))
    if rng.uniform() < 0.6:
        noise = rng.standard_normal((SIZE, SIZE, 3)) * rng.uniform(1, 9)
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    return image


def scene(seed, index):
    """One image and its objects.

    Returns (image, objects): an RGB PIL image of SIZE x SIZE, and a list of dicts with `label`
    (index into LABELS), `box` (four ints), `truncated` (the border cuts it) and `difficult`
    (less than 60 % of it is to be seen).
    """
    rng = np.random.default_rng([seed, index])
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, SIZE, SIZE)
    context = cairo.Context(surface)
    context.set_fill_rule(cairo.FILL_RULE_EVEN_ODD)
    draw = palette(rng)
    background(context, rng, draw)
    for _ in range(rng.integers(0, 7)):
        distract(context, rng, draw)

    objects = []
    owner = np.full((SIZE, SIZE), -1)  # the object seen at each pixel
    for _ in range(rng.integers(2, 10)):
        for _ in range(12):  # tries to find room
            label, polygons, centre, diameter = place(rng)
            mask, area = coverage(polygons)
            hidden = [(mask & (owner == i)).sum() for i in range(len(objects))]
            if mask.sum() < 0.72 * area or any(
                o["seen"] - h < 0.5 * o["area"] for o, h in zip(objects, hidden)
            ):
                continue
            paint(context, surface, rng, draw, polygons, mask, centre, diameter)
            for o, h in zip(objects, hidden):
                o["seen"] -= h
            owner[mask] = len(objects)
            low, high = polygons[0].min(0), polygons[0].max(0)
            box = np.clip(np.round([*low, *high]), 0, SIZE).astype(int)
            cut = bool((low < -0.5).any() or (high > SIZE + 0.5).any())
            entry = {"label": label, "box": box.tolist(), "truncated": cut}
            objects.append({**entry, "area": area, "seen": mask.sum()})
            break
    for _ in range(rng.integers(0, 3)):  # and a little clutter in front
        distract(context, rng, draw)

    for o in objects:
        o["difficult"] = bool(o.pop("seen") < 0.6 * o.pop("area"))
    return develop(rng, pixels(surface)), objects


def jpeg(image, quality):
    """The image as bytes of a JPEG file."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def sample(job):
    """For a process pool: (seed, index) -> uint8 [3, SIZE, SIZE] and float32 [MAX_OBJECTS, 6].

    Rows of the second are x0, y0, x1, y1, label, difficult; the label of an unused row is -1.
    """
    image, objects = scene(*job)
    decoded = np.asarray(Image.open(io.BytesIO(jpeg(image, 90))))
    rows = np.full((MAX_OBJECTS, 6), -1, np.float32)
    for row, o in zip(rows, objects):
        row[:] = [*o["box"], o["label"], o["difficult"]]
    return decoded.transpose(2, 0, 1), rows
