# SPDX-License-Identifier: MIT
"""Writes models with the outputs of detectors, made of pooled pixels, and picture.png."""
import os
import struct
import zlib

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes one after another; an image of `sides`, None where they are open."""

    def __init__(self, sides):
        self.nodes, self.constants, self.outputs = [], [], []
        self.sides = sides
        weight = numpy.random.default_rng(1).random((3, 3, 11, 11), dtype=numpy.float32)
        weight /= weight.sum(axis=(1, 2, 3), keepdims=True)  # pixels stay in 0 … 1
        self.op("Conv", ["x", self.constant("w", weight)], "pixels", pads=[5] * 4)

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def op(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def cells(self, stride, channels, each=1):
        """[1,channels,each·cells]: pooled pixels, repeated."""
        name = f"s{stride}_{channels}_{each}_{len(self.nodes)}"
        pooled = self.op("AveragePool", ["pixels"], name + "p", kernel_shape=[stride] * 2,
                         strides=[stride] * 2)
        shape = self.constant(name + "s", numpy.array([1, 3, -1], numpy.int64))
        flat = self.op("Reshape", [pooled, shape], name + "f")
        wide = self.op("Concat", [flat] * each, name + "w", axis=2)
        most = self.op("Concat", [wide] * -(-channels // 3), name + "m", axis=1)
        ends = [self.constant(name + k, numpy.array([v], numpy.int64))
                for k, v in (("b", 0), ("e", channels), ("a", 1))]
        return self.op("Slice", [most, *ends], name)

    def all_cells(self, channels, each=1):
        parts = [self.cells(stride, channels, each) for stride in (8, 16, 32)]
        return self.op("Concat", parts, f"all{len(self.nodes)}", axis=2)

    def rows(self, name):
        return self.op("Transpose", [name], name + "t", perm=[0, 2, 1])

    def give(self, name, kind=TensorProto.FLOAT):
        self.outputs.append((name, kind))

    def save(self, path, metadata=(), before=(), after=()):
        """`before` and `after` the image: further inputs."""
        height, width = self.sides or ("height", "width")
        picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, height, width])
        outputs = [helper.make_tensor_value_info(name, kind, None)
                   for name, kind in self.outputs]
        graph = helper.make_graph(self.nodes, "g", [*before, picture, *after], outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        helper.set_model_props(model, dict(metadata))
        onnx.save(model, path)


def yolov8(path, channels=7, sides=None, metadata=(), fixed=False):
    g = Graph(sides)
    name = g.all_cells(channels)
    if fixed:  # as exports whose grid is a constant
        zeros = g.constant("grid", numpy.zeros((1, 1, 8400), numpy.float32))
        name = g.op("Add", [name, zeros], "fixed")
    g.give(name)
    g.save(path, metadata)


yolov8("yolov8.onnx")
yolov8("yolov8_sized.onnx", metadata={"imgsz": "[96, 160]"})
yolov8("fixed.onnx", fixed=True)

g = Graph(None)
g.give(g.rows(g.all_cells(7, each=3)))
g.save("yolov5.onnx")

g = Graph(None)  # outputs in an order of their own
for stride in (32, 8, 16):
    g.give(g.rows(g.cells(stride, 32)))
    g.give(g.rows(g.cells(stride, 80)))
g.save("nanodet.onnx")

g = Graph(None)
for channels in (10, 1, 4):
    for stride in (16, 32, 8):
        g.give(g.rows(g.cells(stride, channels, each=2)))
g.save("scrfd.onnx")

g = Graph(None)
for channels in (2, 4, 10):
    g.give(g.rows(g.all_cells(channels, each=2)))
g.save("retinaface.onnx")

for path, ones in (("yolov6.onnx", True), ("yolox.onnx", False)):
    g = Graph((64, 64))
    box, score, classes = g.all_cells(4), g.all_cells(1), g.all_cells(3)
    if ones:
        score = g.constant("ones", numpy.ones((1, 1, 84), numpy.float32))
    g.give(g.rows(g.op("Concat", [box, score, classes], "out", axis=1)))
    g.save(path)

g = Graph((64, 64))  # one class, then two keypoints in pixels
keypoints = g.op("Mul", [g.all_cells(6), g.constant("side", numpy.float32([64]))], "keypoints")
g.give(g.op("Concat", [g.all_cells(5), keypoints], "out", axis=1))
g.save("pose.onnx")

g = Graph((64, 64))
for stride in (8, 16, 32):
    name = g.cells(stride, 18)
    shape = g.constant(f"grid{stride}", numpy.array([1, 18, 64 // stride, -1], numpy.int64))
    g.give(g.op("Reshape", [name, shape], f"head{stride}"))
g.save("heads.onnx")


# ---- the same detectors as other tools write them: in looks/, only to be recognised ----

os.mkdir("looks")
ULTRALYTICS = {"names": "{0: 'a', 1: 'b', 2: 'c'}", "stride": "32", "imgsz": "[64, 96]", "author": "Ultralytics",
               "task": "detect", "description": "Ultralytics YOLOv8n model trained on shapes.yaml"}


def look(name, make, sides=(64, 96), metadata=()):
    g = Graph(sides)
    for output in make(g):
        g.give(output)
    g.save(f"looks/{name}.onnx", metadata)


def pixels(g, channels):
    factors = numpy.ones((1, channels, 1), numpy.float32)
    factors[:, :4] = 96
    return g.rows(g.op("Mul", [g.all_cells(channels), g.constant("pixels_", factors)], "boxes"))


def nanodet_plus(g):
    logits = g.op("Mul", [g.all_cells(32), g.constant("ten", numpy.float32([10]))], "logits")
    return [g.rows(g.op("Concat", [g.all_cells(80), logits], "both", axis=1))]


def without_batch(g, name):
    return g.op("Squeeze", [name, g.constant(name + "axis", numpy.array([0]))], name + "flat")


def queries(g, channels, name):
    ends = [g.constant(name + k, numpy.array([v])) for k, v in (("b", 0), ("e", 300), ("a", 1))]
    return g.op("Slice", [g.rows(g.all_cells(channels, each=4)), *ends], name)


look("yolov8_rows", lambda g: [pixels(g, 84)])
look("yolov8_rows_named", lambda g: [pixels(g, 7)], metadata=ULTRALYTICS)
look("yolov8_open", lambda g: [g.all_cells(7)], None, ULTRALYTICS)
look("yolov8_open_rows", lambda g: [g.rows(g.all_cells(7))], None, ULTRALYTICS)
look("yolox_80", lambda g: [g.rows(g.all_cells(85))])
look("nanodet_plus", nanodet_plus)
look("scrfd_flat", lambda g: [without_batch(g, g.rows(g.cells(stride, channels, 2)))
                              for channels in (1, 4) for stride in (8, 16, 32)])
look("nanodet_boxes_first", lambda g: [g.rows(g.cells(stride, channels))
                                       for channels in (32, 80) for stride in (32, 16, 8)])
look("rtdetr_boxes_first", lambda g: [queries(g, 4, "pred_boxes"), queries(g, 80, "logits")])
look("rtdetr_open", lambda g: [queries(g, 80, "logits"), queries(g, 4, "pred_boxes")], None)


# ---- with inputs beside the image; the box is that of the middle half, of class 2 ----


def pair(name, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, ["batch", 2])


def score(g, name, shape, scale=1.0):
    """0.8 throughout, but made of the pixels, so that weights reach it."""
    mean = g.op("ReduceMean", ["pixels"], name + "m", axes=[1, 2, 3], keepdims=0)
    small = g.op("Mul", [mean, g.constant(name + "e", numpy.float32(1e-4))], name + "s")
    near = g.op("Add", [small, g.constant(name + "8", numpy.float32(.8))], name + "n")
    return g.op("Mul", [near, g.constant(name + "o", numpy.full(shape, scale, numpy.float32))], name)


def floats(g, name):
    return g.op("Cast", [name], name + "f", to=TensorProto.FLOAT)


g = Graph((64, 128))  # D-FINE: labels, boxes in pixels of what orig_target_sizes says, scores
sizes = floats(g, "orig_target_sizes")
whole = g.op("Concat", [sizes, sizes], "whole", axis=1)
shares = g.constant("shares", numpy.float32([[[.25, .25, .75, .75]]]))
g.give(g.op("Identity", [g.constant("two", numpy.array([[2]], numpy.int64))], "labels"), TensorProto.INT64)
g.give(g.op("Mul", [whole, shares], "boxes"))
g.give(score(g, "scores", (1, 1)))
g.save("dfine.onnx", after=[pair("orig_target_sizes", TensorProto.INT64)])

g = Graph((64, 128))  # PaddleDetection: label score x0 y0 x1 y1 in pixels of the image, and how many
turn = g.constant("turn", numpy.array([1, 0, 1, 0], numpy.int64))
real = g.op("Div", ["im_shape", "scale_factor"], "real")
corners = g.op("Mul", [g.op("Gather", [real, turn], "corners", axis=1), shares], "moved")
g.constant("shares", numpy.float32([[.25, .25, .75, .75]]))
row = g.op("Concat", [g.constant("label", numpy.float32([[2]])), score(g, "sure", (1, 1)), "moved"],
           "row", axis=1)
g.give(row)
g.give(g.op("Identity", [g.constant("one", numpy.array([1], numpy.int32))], "num"), TensorProto.INT32)
g.save("paddle.onnx", before=[pair("im_shape")], after=[pair("scale_factor")])

g = Graph((64, 128))  # keras-yolo3: boxes y0 x0 y1 x1, scores [1,classes,n], what it would keep
twice = g.op("Concat", ["image_shape", "image_shape"], "twice", axis=1)
g.constant("shares", numpy.float32([[[.25, .25, .75, .75]]]))
g.give(g.op("Mul", [twice, "shares"], "boxes"))
g.give(score(g, "scores", (1, 80, 1), numpy.eye(80, dtype=numpy.float32)[2].reshape(1, 80, 1)))
g.give(g.op("Identity", [g.constant("k", numpy.zeros((1, 3), numpy.int64))], "kept"), TensorProto.INT64)
g.save("keras_yolo3.onnx", after=[pair("image_shape")])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


with open("picture.png", "wb") as file:
    rows = b"".join(b"\0" + bytes((x * 3 + c * 40 + y) % 256 for x in range(64) for c in range(3))
                    for y in range(64))
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
               + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
